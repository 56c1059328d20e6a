"""The value of a kept trial has an error, and finals take its network over instead of training it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from branchpoint.evaluation.study_score import study_score
from branchpoint.execution.adoption import adopt
from branchpoint.execution.attempt import execute
from branchpoint.execution.held_out import evaluate_run
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.store import Store
from branchpoint.tasks import build_task
from tests.execution.flat_setup import flat_setup
from tests.training.flat_cohort import DISC, LARGE, flat_config


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Setup, RunSpec]:
    """One trial whose network was kept."""
    setup = flat_setup(tmp_path)
    config = flat_config(DISC, LARGE, epochs=2)
    spec = RunSpec("0000", replace(config, optimizer=replace(config.optimizer, learning_rate=0.03)))
    assert execute(spec, setup, lambda *_: None).state == "COMPLETE"
    return setup, spec


def rows(setup: Setup) -> dict[str, dict[str, Any]]:
    found = Store(setup.store).trials("s").to_pylist(maps_as_pydicts="strict")
    return {row["trial"]: row for row in found}


def test_the_store_holds_the_score_with_its_error(trained: tuple[Setup, RunSpec]) -> None:
    setup, spec = trained
    tasks = [build_task(task) for task in spec.config.tasks if not task.auxiliary]
    expected = study_score(tasks, evaluate_run(spec, setup, "validation"), groups=())
    metrics = rows(setup)["0000"]["metrics"]
    assert metrics["estimate/score"] == expected.value
    assert metrics["estimate/error"] == expected.error > 0
    assert metrics["estimate/groups"] == expected.units > 1


def test_finals_take_the_trial_over(trained: tuple[Setup, RunSpec]) -> None:
    setup, spec = trained
    final = RunSpec("c-fold0", spec.config, stage="final")
    other = RunSpec("c-fold1", replace(spec.config, split=replace(spec.config.split, fold=1)), stage="final")
    assert adopt([final, other], setup) == ["c-fold0"], "the other fold was never trained"
    assert adopt([final], setup) == [], "once"
    row = rows(setup)["c-fold0"]
    assert (row["stage"], row["state"], row["fold"]) == ("final", "COMPLETE", 0)
    assert row["metrics"]["estimate/score"] == rows(setup)["0000"]["metrics"]["estimate/score"]
    assert row["notes"][-1] == "trained as run 0000"
    again = execute(final, replace(setup, fit=lambda *_, **__: pytest.fail("trained again")), lambda *_: None)
    assert again.state == "COMPLETE"
    for task, summary in evaluate_run(final, setup, "test").items():
        for name, values in evaluate_run(spec, setup, "test")[task].items():
            np.testing.assert_array_equal(values, summary[name])
    assert {row["trial"] for row in Store(setup.store).epochs("s").to_pylist()} == {"0000"}, "its time counts once"
