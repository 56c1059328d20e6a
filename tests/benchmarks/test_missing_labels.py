"""The benchmark runs, and no training picture is lost with half of a task's labels."""

from __future__ import annotations

import pytest


def test_quick(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from benchmarks.missing_labels import main

    threads = torch.get_num_threads()
    try:
        main(["--quick"])
    finally:
        torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    taken = [line for line in lines if "taken away" in line]
    assert [line.split()[5] for line in taken] == ["lesion", "diagnosis"]
    assert all("12 of 12 training pictures in each epoch" in line for line in taken)
    assert lines[-1].startswith("other tasks' figures within their interval: ")
