"""The benchmark runs and prints its ratios; the figures themselves belong to a quiet machine."""

from __future__ import annotations

import pytest


def test_quick(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("monai", reason="the comparison needs MONAI: pip install branchpoint[bench]")
    from benchmarks.data_path import main

    main(["--quick"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 volumes of 2 x 32^3 plus mask, batches of 4, 2 workers, 1 rounds"
    assert [line[:11] for line in lines[2:7]] == ["branchpoint"] * 2 + ["MONAI Persi", "MONAI Cache", "MONAI Cache"]
    assert lines[7].startswith("ratio to the fastest MONAI dataset: ")
