"""Comparing on a phantom: rows, pairs and a table; and what cannot be asked."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from branchpoint.config import HogConfig

JOBS = Path(__file__).resolve().parents[2] / "jobs"


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(JOBS))
    return importlib.import_module("branchpoint.commands.compare")


def experiment(compare: Any, study: str, question: str) -> Any:
    job = importlib.import_module(f"nas_{study}").JOB
    base = compare.base_config(job, job.scales["smoke"], Path("/data"), release=job.release)
    return compare.experiment_of(job, base, question)


def test_every_row_has_the_same_network_and_budget(compare: Any) -> None:
    asked = experiment(compare, "ph2", "tasks")
    together, *alone = asked.rows
    assert [len(row.config.tasks) for row in (together, *alone)] == [8] + [1] * 8
    assert asked.compared == tuple((together.name, row.name) for row in alone)
    for row in alone:
        assert row.config.network == together.config.network
        assert row.config.training == together.config.training
        assert row.config.tasks[0] in together.config.tasks
    assert {column.task for column in asked.columns} == {task.name for task in together.config.tasks}


def test_the_control_of_hog_differs_in_its_target_alone(compare: Any) -> None:
    without, hog, control = experiment(compare, "cadis", "hog").rows
    assert [[task.name for task in row.config.tasks] for row in (without, hog)] == [["task_2"], ["task_2", "hog"]]
    targets = [row.config.tasks[1] for row in (hog, control)]
    assert all(isinstance(target, HogConfig) for target in targets)
    assert [target.zero_target for target in targets] == [False, True]
    assert hog.config.network == control.config.network
    assert (without.config.network.regression_units, hog.config.network.regression_units) == ((), (("hog", "light"),))


@pytest.mark.parametrize(("study", "question", "message"), [("ph2", "why", "ask tasks or hog")])
def test_other_questions_are_refused(compare: Any, study: str, question: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment(compare, study, question)


@pytest.mark.timeout(1000)
def test_a_table_with_references_and_paired_tests(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "BRANCHPOINT_HOME"}
    command = [
        sys.executable,
        str(JOBS / "compare.py"),
        "--study",
        "isic2017",
        "--question",
        "tasks",
        "--scale",
        "smoke",
        "--seeds",
        "2",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("| all tasks together | 2 | ") for line in lines)
    assert any(line.startswith("| majority class | |  |  0.500") or "majority class" in line for line in lines)
    assert any(line.startswith("| logistic regression on log areas in the true mask | | ") for line in lines)
    assert any(line.startswith("| all tasks together minus lesion alone | lesion, ji | ") for line in lines)
    assert lines[-1] == "n = 7 of 30. Resampled for the intervals: 2 seeds x 7 samples."
