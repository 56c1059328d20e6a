"""Cases spread over Ray: the same bytes as by one process, and a bad case stops no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from branchpoint.commands import cli
from tests.deploy.conftest import Finished


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["predict", *map(str, arguments)])


def test_same_bytes_on_one_worker_or_two(
    finished: Finished, strangers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    rows = ["id,CT,PET,age"]
    for name, ct in zip("AB", sorted(strangers.glob("*_ct.nii.gz")), strict=True):
        rows.append(f"{name},{ct},{str(ct).replace('_ct.', '_pt.')},60")
    rows.append("C,gone.nii.gz,gone.nii.gz,60")
    table = tmp_path / "cases.csv"
    table.write_text("\n".join(rows))
    alone = run(finished.bundle, "--table", table, "--out", tmp_path / "alone", "--no-page")
    spread = run(finished.bundle, "--table", table, "--out", tmp_path / "spread", "--no-page", "--ray")
    assert alone.exit_code == spread.exit_code == 3, spread.output
    assert "3 cases: 2 done, 1 failed" in spread.output
    for name in "AB":
        one, two = (tmp_path / way / name for way in ("alone", "spread"))
        assert (one / "mask.nii.gz").read_bytes() == (two / "mask.nii.gz").read_bytes()
        results = [json.loads((folder / "result.json").read_text()) for folder in (one, two)]
        for result in results:
            result.pop("seconds")
        assert results[0] == results[1]
    assert (tmp_path / "alone/predictions.csv").read_bytes() == (tmp_path / "spread/predictions.csv").read_bytes()
