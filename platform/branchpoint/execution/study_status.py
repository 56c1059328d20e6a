"""How far a study has come, from its store and its state folder alone: while a driver runs, and after it was killed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from branchpoint.execution.recommendation import recommended
from branchpoint.execution.run_spec import SCORE
from branchpoint.execution.state import DRIVER_LOCK, PLAN
from branchpoint.io.locks import holder
from branchpoint.store import Store

ENDED = ("COMPLETE", "PRUNED", "FAILED")


@dataclass(frozen=True)
class StageStatus:
    """One stage of a study.

    Attributes:
        stage: ``search``, ``final`` or ``refit``.
        planned: runs that it will have; ``None`` where no driver wrote it down.
        states: state to number of runs.
        epochs: trained so far.
        training_seconds: that they took.
        elapsed_seconds: from the first start to the latest end, or to now while runs are running.
        left_seconds: at the rate so far; ``None`` where it is unknown.
    """

    stage: str
    planned: int | None
    states: Mapping[str, int]
    epochs: int
    training_seconds: float
    elapsed_seconds: float
    left_seconds: float | None

    @property
    def ended(self) -> int:
        """Runs that need not run again."""
        return sum(self.states.get(state, 0) for state in ENDED)


@dataclass(frozen=True)
class StudyStatus:
    """A study.

    Attributes:
        name: of the study.
        driver: who runs it, such as ``process 4711 on host``; ``""`` where nobody does.
        stages: those that have begun.
        best: trial and score of the best complete trial of the search; ``None`` before there is one.
        recommended: what the finals recommend, with its score and standard error; ``None`` before.
        tested: whether test figures are there.
    """

    name: str
    driver: str
    stages: Sequence[StageStatus]
    best: tuple[str, float] | None
    recommended: tuple[str, float, float] | None
    tested: bool

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.tested and not self.driver


def study_status(store: Store, name: str, state: Path, now: datetime | None = None) -> StudyStatus:
    """How far the study ``name`` has come.

    Args:
        state: its state folder.
        now: of the clock that wrote the store.

    Raises:
        ValueError: the store holds nothing of it.
    """
    trials = store.trials(name).to_pylist()
    if not trials and name not in store.studies()["study"].to_pylist():
        raise ValueError(f"no study {name!r} in {store.uri}")
    epochs = store.epochs(name, columns=["seconds"]).to_pylist()
    plan = json.loads((state / PLAN).read_text()) if (state / PLAN).is_file() else {}
    driver = holder(state / DRIVER_LOCK)
    stages = [
        _stage(stage, [row for row in trials if row["stage"] == stage], epochs, plan.get(stage), bool(driver), now)
        for stage in ("search", "final", "refit")
        if any(row["stage"] == stage for row in trials)
    ]
    figures = store.figures(name).to_pylist()
    best = store.best(name, SCORE, stage="search")
    return StudyStatus(
        name=name,
        driver=driver,
        stages=stages,
        best=(best[0]["trial"], best[0]["value"]) if best else None,
        recommended=_recommended(store, name, figures),
        tested=any(row["split"] == "test" for row in figures),
    )


def _stage(
    stage: str,
    rows: Sequence[Mapping[str, Any]],
    epochs: Iterable[Mapping[str, Any]],
    planned: int | None,
    is_run: bool,
    now: datetime | None,
) -> StageStatus:
    states = Counter(row["state"] for row in rows)
    names = {row["trial"] for row in rows}
    trained = [row["seconds"] or 0.0 for row in epochs if row["trial"] in names]
    begun = min(row["started"] for row in rows)
    ends = [row["finished"] for row in rows if row["finished"]]
    if is_run and states["RUNNING"]:
        ends.append(now or datetime.now(UTC))
    elapsed = (max(ends) - begun).total_seconds() if ends else 0.0
    ended = sum(states[state] for state in ENDED)
    left = max(0, planned - ended) * elapsed / ended if planned is not None and ended else None
    return StageStatus(stage, planned, dict(states), len(trained), sum(trained), elapsed, left)


def _recommended(store: Store, name: str, figures: Iterable[Mapping[str, Any]]) -> tuple[str, float, float] | None:
    """Label, score and error of what the study recommends; ``None`` before its test figures are there."""
    try:
        _, candidate = recommended(store, name)
    except ValueError:
        return None
    for row in figures:
        if row["split"] == "validation" and row["candidate"] == candidate:
            return row["label"], row["value"], row["error"]
    return None
