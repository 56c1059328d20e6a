"""One run on a worker, without Ray."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from branchpoint.config import Config
from branchpoint.execution.attempt import execute
from branchpoint.execution.run_spec import Outcome, RunSpec, Setup, known_outcomes
from branchpoint.on_ray.tune_searcher import failure_reason, record_worker_failure
from branchpoint.store import Store
from tests.search.search_toys import ToyFit, epochs_run, toy_value


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(
        study="toy",
        store=str(tmp_path / "results"),
        folder=tmp_path / "state",
        prepared=tmp_path,
        fit=ToyFit(),
        open_cohort=str,
    )


def with_fit(setup: Setup, **changes: Any) -> Setup:
    return Setup(**{**vars(setup), **changes})


def rows(setup: Setup) -> list[dict[str, Any]]:
    return Store(setup.store).trials("toy", attempts="all").to_pylist(maps_as_pydicts="strict")


def test_a_run_writes_its_epochs_and_its_end(setup: Setup, base: Config) -> None:
    heard: list[tuple[int, float]] = []
    outcome = execute(RunSpec("0000", base), setup, lambda epoch, value: heard.append((epoch, value)))
    assert (outcome.state, outcome.value, outcome.epochs) == ("COMPLETE", toy_value(base), 6)
    assert [epoch for epoch, _ in heard] == [1, 2, 3, 4, 5, 6]
    epochs = Store(setup.store).epochs("toy").to_pylist(maps_as_pydicts="strict")
    assert [(row["epoch"], row["metrics"]["validation/score"]) for row in epochs] == heard
    (row,) = rows(setup)
    assert (row["fingerprint"], row["candidate"], row["fold"]) == (base.fingerprint, base.candidate, 0)
    assert (row["parameters"], row["macs"], row["gpu_seconds"]) == (10, 20, 0.0)
    assert not setup.run_folder("0000").checkpoints.exists(), "nothing resumes from them any more"


def test_an_ended_run_is_not_run_again(setup: Setup, base: Config) -> None:
    spec = RunSpec("0000", base)
    first = execute(spec, setup, lambda *_: None)
    again = execute(spec, setup, lambda *_: pytest.fail("it ran again"))
    assert (again.state, again.value) == (first.state, first.value)
    assert epochs_run(setup.folder, "0000") == [1, 2, 3, 4, 5, 6]


def test_an_interrupted_run_goes_on_as_the_next_attempt(setup: Setup, base: Config) -> None:
    def interrupt(epoch: int, value: float) -> None:
        if epoch == 4:
            raise KeyboardInterrupt

    spec = RunSpec("0000", base)
    with pytest.raises(KeyboardInterrupt):
        execute(spec, setup, interrupt)
    assert [row["state"] for row in rows(setup)] == ["RUNNING"]
    outcome = execute(spec, setup, lambda *_: None)
    assert outcome.epochs == 6
    assert [(row["attempt"], row["state"]) for row in rows(setup)] == [(1, "RUNNING"), (2, "COMPLETE")]
    assert epochs_run(setup.folder, "0000") == [1, 2, 3, 4, 5, 6]


def test_an_error_becomes_a_reason_and_a_traceback_that_ends_with_it(setup: Setup, base: Config) -> None:
    setup = with_fit(setup, fit=ToyFit(raises=(8,)))
    outcome = execute(RunSpec("0003", base), setup, lambda *_: None)
    (row,) = rows(setup)
    assert row["state"] == outcome.state == "FAILED"
    assert row["reason"] == outcome.reason == "ValueError: CHGJ007: the mask of width 8 is empty"
    first, *_, last = outcome.traceback.splitlines()
    assert first.startswith(f"trial 0003 (candidate {base.candidate}, fold 0) failed after epoch 1 on ")
    assert last == "ValueError: CHGJ007: the mask of width 8 is empty"


def test_nan_fails(setup: Setup, base: Config) -> None:
    outcome = execute(RunSpec("0000", base), with_fit(setup, fit=ToyFit(diverges=(8,))), lambda *_: None)
    assert outcome.state == "FAILED"
    assert outcome.reason == "validation/score is nan at the best epoch, 6"


def test_an_unknown_objective_names_what_there_is(setup: Setup, base: Config) -> None:
    outcome = execute(RunSpec("0000", base), with_fit(setup, objective="validation/dice"), lambda *_: None)
    assert outcome.state == "FAILED"
    assert "objective 'validation/dice' is not among the metrics: train/loss, validation/score" in outcome.reason


def test_a_verdict_stops_and_prunes(setup: Setup, base: Config) -> None:
    setup = with_fit(setup, pruner=lambda trial, epoch, value: "not good enough" if epoch == 2 else None)
    outcome = execute(RunSpec("0000", base), setup, lambda *_: None)
    assert (outcome.state, outcome.reason, outcome.epochs) == ("PRUNED", "not good enough", 2)
    assert outcome.value == pytest.approx(toy_value(base) / 3)


def test_death_of_a_worker_is_recorded_once(setup: Setup, base: Config) -> None:
    spec = RunSpec("0000", base)
    died = record_worker_failure(spec, setup, "The actor died unexpectedly: killed by SIGKILL\n")
    assert died.state == "FAILED"
    assert math.isnan(died.value)
    assert rows(setup)[0]["reason"].startswith("worker died: The actor died unexpectedly")
    done = execute(RunSpec("0001", base), setup, lambda *_: None)
    late = record_worker_failure(RunSpec("0001", base), setup, "died after its last write")
    assert (late.state, late.value) == (done.state, done.value), "what it still wrote counts"


def test_out_of_memory_is_named() -> None:
    assert "ran out of memory" in failure_reason("ray.exceptions.OutOfMemoryError: Task was killed due to the node ...")
    assert failure_reason("") == "worker died: killed, out of memory, or its node was lost"


def test_known_outcomes_by_stage(setup: Setup, base: Config) -> None:
    execute(RunSpec("0000", base), setup, lambda *_: None)
    execute(RunSpec("final", base, stage="final"), setup, lambda *_: None)
    store = Store(setup.store)
    assert set(known_outcomes(store, "toy", "validation/score")) == {"0000", "final"}
    found = known_outcomes(store, "toy", "validation/score", stage="final")
    assert isinstance(found["final"], Outcome)
    assert set(found) == {"final"}
