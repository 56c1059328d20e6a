"""A kill in the middle of many cases: nothing half-written is visible, and the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.conftest import Finished
from tests.deploy.test_predict import given, run


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_prediction_goes_on(finished: Finished, strangers: Path, tmp_path: Path, number: signal.Signals) -> None:
    ct, pet = (part.split("=")[1] for part in given(strangers).split(","))
    names = [f"case{place:02d}" for place in range(12)]
    table = tmp_path / "cases.csv"
    table.write_text("\n".join(["id,CT,PET", *(f"{name},{ct},{pet}" for name in names)]))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "branchpoint.commands.cli", "predict", finished.bundle, "--table", table]
    process = subprocess.Popen([*map(str, command), "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not list(out.glob("case*/result.json")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert b"Traceback" not in said, said
    done = {path.name for path in out.glob("case*")}
    assert 0 < len(done) < len(names), "it was killed on the way"
    for name in done:
        assert json.loads((out / name / "result.json").read_text())["case"] == name
        assert (out / name / "mask.nii.gz").exists()
        assert (out / name / "page.html").read_text().rstrip().endswith("</html>")
    left = out / f".{names[-1]}.0123abcd"
    left.mkdir()
    again = run(finished.bundle, "--table", table, "--out", out)
    assert again.exit_code == 0, again.output
    assert f"{len(names) - len(done)} done, {len(done)} kept" in again.output
    assert not left.exists()
