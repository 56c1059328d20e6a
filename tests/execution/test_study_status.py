"""How far a study has come, while a driver runs and after it was killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.config import Config, DatasetConfig, SegmentationConfig
from branchpoint.execution.attempt import running_record
from branchpoint.execution.state import StudyFolder
from branchpoint.execution.study_status import study_status
from branchpoint.store import EpochRecord, FigureRecord, Store

BEGUN = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONFIG = Config(dataset=DatasetConfig(), tasks=(SegmentationConfig(name="tumour", target="tumour"),))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three of eight trials have ended after five minutes, and one is running."""
    store = Store(str(tmp_path / "results"))
    writer = store.writer("s")
    for number, state in enumerate(["COMPLETE", "PRUNED", "COMPLETE", "RUNNING"]):
        name, begun = f"{number:04d}", BEGUN + timedelta(minutes=number)
        record = replace(running_record("s", name, CONFIG, "search", 0), started=begun)
        writer.trial(record)
        for epoch in (1, 2):
            writer.epoch(EpochRecord(study="s", trial=name, attempt=0, epoch=epoch, metrics={}, seconds=10.0))
        if state != "RUNNING":
            ended = replace(record, state=state, reason="" if state == "COMPLETE" else "stopped early")
            writer.trial(
                replace(ended, finished=begun + timedelta(minutes=3), metrics={"validation/score": number / 10})
            )
    folder(tmp_path).plan("search", 8)
    return store


def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "results/.state/s")


def test_of_a_running_study(store: Store, tmp_path: Path) -> None:
    (folder(tmp_path).path / "driver.holder").write_text(f"process {os.getpid()} on {socket.gethostname()}")
    found = study_status(store, "s", folder(tmp_path).path, now=BEGUN + timedelta(minutes=6))
    assert found.driver == f"process {os.getpid()} on {socket.gethostname()}"
    (search,) = found.stages
    assert (search.planned, search.ended, search.states["RUNNING"]) == (8, 3, 1)
    assert (search.epochs, search.training_seconds) == (8, 80.0)
    assert search.elapsed_seconds == 360
    assert search.left_seconds == 5 * 360 / 3
    assert found.best == ("0002", 0.2)
    assert not found.finished


def test_of_a_study_whose_driver_was_killed(store: Store, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (folder(tmp_path).path / "driver.holder").write_text(f"process {gone.pid} on {socket.gethostname()}")
    found = study_status(store, "s", folder(tmp_path).path)
    assert found.driver == ""
    assert found.stages[0].elapsed_seconds == 300, "the time since the kill does not count"
    said = CliRunner().invoke(cli.app, ["status", "--store", store.uri, "--study", "s"])
    assert "no driver is running; the same command goes on with it" in said.output
    assert "interrupted" in said.output


def test_of_a_finished_study(store: Store, tmp_path: Path) -> None:
    common = {"study": "s", "candidate": "c", "fold": -1, "value": 0.5, "low": 0.4, "high": 0.6, "n": 9, "error": 0.05}
    writer = store.writer("s")
    writer.figures(
        [
            FigureRecord(
                **common, label="all shared", kind="model", split="validation", task="all tasks", metric="score"
            ),
            FigureRecord(**common, label="best found", kind="model", split="test", task="tumour", metric="dice"),
        ]
    )
    said = CliRunner().invoke(cli.app, ["status", "--store", store.uri, "--study", "s", "--watch", "--json"])
    found = json.loads(said.output)
    assert found["recommended"] == ["all shared", 0.5, 0.05]
    assert found["tested"], "and watching ends"


def test_unknown_study(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no study 'other' in"):
        study_status(store, "other", tmp_path)


def test_to_look_at_a_study_needs_no_torch() -> None:
    """Whose import takes seconds, at each look."""
    script = "import sys, branchpoint.execution.study_status; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
