"""What becomes of a run whose worker died: tried again where its node was lost, FAILED where it was its own fault."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher

from branchpoint.config import Config
from branchpoint.execution.run_spec import Outcome, RunSpec, Setup
from branchpoint.execution.runs import ListedRuns
from branchpoint.on_ray.start_barrier import StartBarrier
from branchpoint.on_ray.tune_searcher import LOST_NODES, TuneSearcher, WorkerFailures, node_was_lost
from branchpoint.store import Store

LOST = "ray.exceptions.ActorDiedError: ... The actor died because its node has died. Node Id: 0123"
KILLED = "ray.exceptions.ActorDiedError: ... Worker unexpectedly exits with a connection error code 2."


def searcher_of(tmp_path: Path, base: Config) -> tuple[TuneSearcher, WorkerFailures, list[Outcome]]:
    setup = Setup(study="s", store=str(tmp_path / "results"), folder=tmp_path / "state", prepared=tmp_path)
    failures = WorkerFailures()
    ended: list[Outcome] = []
    runs = ListedRuns([RunSpec("0000", base)])
    return TuneSearcher(runs, setup, failures, StartBarrier(tmp_path / "barrier"), ended.append), failures, ended


def die(searcher: TuneSearcher, failures: WorkerFailures, trial_id: str, text: str, folder: Path) -> None:
    """As Tune tells it: first the scheduler, then the searcher."""
    report = folder / "error.txt"
    report.write_text(text)
    trial: Any = SimpleNamespace(trial_id=trial_id, error_file=str(report))
    failures.on_trial_error(None, trial)
    searcher.on_trial_complete(trial_id, error=True)


def test_a_lost_node_is_not_the_run_s_fault(tmp_path: Path, base: Config) -> None:
    searcher, failures, ended = searcher_of(tmp_path, base)
    first = searcher.suggest("a")
    assert searcher.suggest("waits") is None, "Tune is not told that all is done while a run may come back"
    for loss in range(LOST_NODES):
        die(searcher, failures, "a" if loss == 0 else f"a{loss}", LOST, tmp_path)
        assert not ended
        assert searcher.suggest(f"a{loss + 1}") == first
    die(searcher, failures, f"a{LOST_NODES}", LOST, tmp_path)
    assert [outcome.state for outcome in ended] == ["FAILED"], "not for ever"
    assert searcher.suggest("none left") == Searcher.FINISHED


def test_a_killed_worker_s_run_fails_with_the_reason(tmp_path: Path, base: Config) -> None:
    searcher, failures, ended = searcher_of(tmp_path, base)
    searcher.suggest("a")
    die(searcher, failures, "a", KILLED, tmp_path)
    assert [outcome.state for outcome in ended] == ["FAILED"]
    (row,) = Store(str(tmp_path / "results")).trials("s").to_pylist()
    assert row["state"] == "FAILED"
    assert "Worker unexpectedly exits" in row["reason"]
    assert searcher.suggest("none left") == Searcher.FINISHED


@pytest.mark.parametrize(("text", "lost"), [(LOST, True), (KILLED, False), ("", False)])
def test_which_deaths_are_lost_nodes(text: str, lost: bool) -> None:
    assert node_was_lost(text) is lost
