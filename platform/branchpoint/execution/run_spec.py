"""What a run is told, what all runs of a study share, and how a run ended. Free of Ray, and torch is not imported."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from branchpoint.execution.state import RunFolder, run_folder
from branchpoint.store import State, Store

if TYPE_CHECKING:
    from branchpoint.datasets.cache.node_copy import Source
    from branchpoint.datasets.prepared import PreparedCohort
    from branchpoint.training.loop import FitResult

CHECKPOINT_SECONDS = 15.0
"""Epochs that are shorter share a checkpoint."""
FINISHED = ("COMPLETE", "PRUNED", "FAILED", "INFEASIBLE")
Stage = Literal["search", "final"]
Judge = Callable[[str, int, float], str | None]
Fit = Callable[..., "FitResult"]


@dataclass(frozen=True)
class Work:
    """What to run: ``name`` is the trial's in the store, ``config`` JSON."""

    name: str
    config: str
    stage: Stage = "search"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Work:
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all runs of a study share.

    Attributes:
        study: its name.
        store: URI of the results store.
        folder: state folder of the study, seen by every worker unless the store is a bucket.
        prepared: manifest of the prepared cohort.
        source: where a node that does not see ``prepared`` gets the cohort from, once.
        objective: metric that ranks runs.
        cpus: threads of a run on the CPU.
        gpus: of a run; where it is a fraction, so much of the GPU's memory is all that it may take.
        keep_network: keep the weights of the best epoch (finalists).
        judge: reason to stop after an epoch, or ``None``; see :class:`branchpoint.execution.halving.Halving`.
        fit: trains; ``None`` is :func:`branchpoint.training.loop.fit`.
        checkpoint_seconds: between checkpoints; what a kill may cost a run.
        open_cohort: opens ``prepared``; ``None`` is :func:`open_prepared`.
    """

    study: str
    store: str
    folder: Path
    prepared: Path
    source: Source | None = None
    objective: str = "validation/score"
    cpus: int = 1
    gpus: float = 0.0
    keep_network: bool = False
    judge: Judge | None = None
    fit: Fit | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    open_cohort: Callable[[Path], Any] | None = None

    def run_folder(self, name: str) -> RunFolder:
        """What the run ``name`` keeps."""
        return run_folder(self.folder, self.store, self.study, name)

    def cohort(self) -> Any:
        """The cohort, on this node."""
        return self.open_cohort(self.prepared) if self.open_cohort else open_prepared(self.prepared, self.source)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
        value: the objective at the best epoch; NaN where there is none.
        epochs: epochs trained, in all attempts.
        traceback: of the error, its message last; empty without one.
    """

    name: str
    state: State
    value: float = math.nan
    reason: str = ""
    epochs: int = 0
    metrics: Mapping[str, float] | None = None
    traceback: str = ""


def known_outcomes(store: Store, study: str, objective: str, stage: str | None = None) -> dict[str, Outcome]:
    """Every ended run of ``study`` (of ``stage``), by name."""
    outcomes = {}
    for row in store.trials(study, columns=["state", "reason", "metrics", "stage"]).to_pylist():
        if row["state"] in FINISHED and stage in (None, row["stage"]):
            metrics = dict(row["metrics"] or ())
            value = metrics.get(objective, math.nan) if row["state"] in ("COMPLETE", "PRUNED") else math.nan
            outcomes[row["trial"]] = Outcome(
                name=row["trial"], state=row["state"], value=value, reason=row["reason"] or "", metrics=metrics
            )
    return outcomes


@lru_cache(maxsize=2)
def open_prepared(path: Path, source: Source | None = None) -> PreparedCohort:
    """Once for each worker process: trials that follow each other there share the memory map."""
    from branchpoint.datasets.cache.node_copy import local_manifest
    from branchpoint.datasets.prepared import PreparedCohort

    return PreparedCohort.open(local_manifest(path, source))
