"""The Pareto front of a study's trials, as the command shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from branchpoint.commands.cli import app
from branchpoint.store import Store, StudyRecord, TrialRecord

TRIALS = {"a": (0.8, 1000), "b": (0.7, 100), "c": (0.6, 500), "d": (0.75, None)}
"""Trial to Dice and parameters: c is beaten by b, and d has no parameters."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    writer = Store(str(tmp_path)).writer("s")
    writer.study(StudyRecord(study="s"))
    for trial, (dice, parameters) in TRIALS.items():
        metrics = {"validation/score": dice, "validation/lesion/dice": dice, "validation/lesion/hd95": 10 * dice}
        writer.trial(TrialRecord(study="s", trial=trial, state="COMPLETE", metrics=metrics, parameters=parameters))
    writer.trial(TrialRecord(study="s", trial="e", state="PRUNED", reason="early", metrics={"validation/score": 0.9}))
    return tmp_path


def front(store: Path, by: str) -> dict[str, object]:
    done = CliRunner().invoke(app, ["front", "--store", str(store), "--by", by, "--json"])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.output))


def test_what_no_other_trial_beats(store: Path) -> None:
    found = front(store, "score,parameters")
    assert found["front"] == [
        {"trial": "a", "score": 0.8, "parameters": 1000.0},
        {"trial": "b", "score": 0.7, "parameters": 100.0},
    ]
    assert found["hypervolume"] == pytest.approx(0.5), "b: half of the range of the score at the least cost"


def test_less_is_better_for_errors(store: Path) -> None:
    assert [each["trial"] for each in front(store, "lesion/hd95")["front"]] == ["c"]  # type: ignore[attr-defined]
    assert [each["trial"] for each in front(store, "lesion/dice")["front"]] == ["a"]  # type: ignore[attr-defined]


def test_the_table_and_its_summary(store: Path) -> None:
    done = CliRunner().invoke(app, ["front", "--store", str(store)])
    assert "2 of 4 complete trials; hypervolume 0.500" in done.output


@pytest.mark.parametrize(
    ("by", "message"), [("nope", "have lesion/dice, lesion/hd95, score, parameters"), (",", "names no objective")]
)
def test_what_cannot_be_asked_for(store: Path, by: str, message: str) -> None:
    done = CliRunner().invoke(app, ["front", "--store", str(store), "--by", by])
    assert isinstance(done.exception, ValueError)
    assert message in str(done.exception)
