"""The benchmark runs and finds equal values; the figures themselves belong to a quiet machine."""

from __future__ import annotations

import pytest


def test_quick(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage", reason="the comparison needs scikit-image: pip install branchpoint[dev]")
    import torch

    from benchmarks.hog import main

    threads = torch.get_num_threads()
    try:
        main(["--quick"])
    finally:
        torch.set_num_threads(threads)
    assert capsys.readouterr().out.splitlines()[-1].endswith("equal within 0.0001: yes")
