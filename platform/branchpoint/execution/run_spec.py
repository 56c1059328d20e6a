"""The specification of one run, the settings that all runs of a study share, and the outcome of a run.

Neither Ray nor torch is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from branchpoint.config import SCORE, Config
from branchpoint.execution.state import RunFolder, run_folder
from branchpoint.store import State, Store

if TYPE_CHECKING:
    from branchpoint.datasets.cache.node_copy import Source
    from branchpoint.datasets.prepared import PreparedCohort
    from branchpoint.training.loop import FitResult

CHECKPOINT_SECONDS = 15.0
"""Epochs that are shorter share a checkpoint."""
FINISHED = ("COMPLETE", "PRUNED", "FAILED", "INFEASIBLE")
Stage = Literal["search", "final", "refit"]
Pruner = Callable[[str, int, float], str | None]
Fit = Callable[..., "FitResult"]


@dataclass(frozen=True)
class RunSpec:
    """One run: its name in the store, its Config, and the stage of the study that it belongs to."""

    name: str
    config: Config
    stage: Stage = "search"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Settings that all runs of a study share.

    Attributes:
        study: its name.
        store: URI of the results store.
        folder: state folder of the study, seen by every worker unless the store is a bucket.
        prepared: manifest of the prepared cohort.
        source: where a node that does not see ``prepared`` gets the cohort from, once.
        objective: metric that ranks runs.
        cpus: threads of a run on the CPU.
        gpus: GPUs of a run; with a fraction, a run may allocate only this share of the GPU's memory.
        keep_network: keep the weights of the best epoch (finalists).
        pruner: gives the reason to stop a trial after an epoch, or ``None`` to continue; see
            :class:`branchpoint.execution.halving.Halving`.
        fit: trains one Config; ``None`` is :func:`branchpoint.training.loop.fit`.
        checkpoint_seconds: least time between checkpoints, which is what a kill may cost a run.
        open_cohort: opens ``prepared``; ``None`` is :func:`open_prepared`.
    """

    study: str
    store: str
    folder: Path
    prepared: Path
    source: Source | None = None
    objective: str = SCORE
    cpus: int = 1
    gpus: float = 0.0
    keep_network: bool = False
    pruner: Pruner | None = None
    fit: Fit | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    open_cohort: Callable[[Path], Any] | None = None

    def run_folder(self, name: str) -> RunFolder:
        """Folder of the run ``name``, which its attempts share."""
        return run_folder(self.folder, self.store, self.study, name)

    def cohort(self) -> Any:
        """The prepared cohort as this node sees it."""
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
    """Outcome of every run of ``study`` (of ``stage``) that has ended, by name."""
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
    """Open a prepared cohort once per process, so that consecutive trials share the memory map."""
    from branchpoint.datasets.cache.node_copy import local_manifest
    from branchpoint.datasets.prepared import PreparedCohort

    return PreparedCohort.open(local_manifest(path, source))
