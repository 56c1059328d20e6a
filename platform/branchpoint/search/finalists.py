"""Finalists of a study: what is trained on every fold, and what is known of it when one is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from branchpoint.config import Config
from branchpoint.evaluation.selection import Contender, Recommendation
from branchpoint.execution.held_out import Summaries
from branchpoint.execution.run_spec import RunSpec
from branchpoint.networks import estimate, name_of, topology_of
from branchpoint.store import FigureRecord
from branchpoint.tasks import build_task

ALL_TASKS = "all tasks"
"""In place of a task's name, in the rows of scores over all of them."""


@dataclass(frozen=True)
class Finalist:
    """A configuration that is trained on all folds.

    Attributes:
        config: with the budget of the finals, fold 0.
        labels: names it is known by, such as ``multi-task, all shared``; empty for those that the search found.
        seeds: how many networks are trained on each fold.
    """

    config: Config
    labels: tuple[str, ...] = ()
    seeds: int = 1

    def by_seed(self) -> list[list[RunSpec]]:
        """The runs of each seed, one for each fold."""
        return [[self._spec(fold, more) for fold in self.config.split.rounds] for more in range(self.seeds)]

    def specs(self) -> list[RunSpec]:
        """All its runs; a fold's seeds follow each other."""
        return [spec for of_fold in zip(*self.by_seed(), strict=True) for spec in of_fold]

    def name(self, rank: int) -> str:
        """In words, where it is finalist number ``rank``."""
        return " = ".join(self.labels) or f"number {rank} of the search ({name_of(self.config)})"

    def _spec(self, fold: int, more: int) -> RunSpec:
        config = replace(self.config, split=replace(self.config.split, fold=fold), seed=self.config.seed + more)
        name = f"{self.config.candidate}-fold{fold}" + (f"-seed{config.seed}" if more else "")
        return RunSpec(name, config, stage="final")


def contenders(finalists: Mapping[str, Finalist], validation: Mapping[str, Summaries]) -> list[Contender]:
    """The finalists with their predictions for validation patients.

    Args:
        finalists: by name.
        validation: run to summaries by task.
    """
    return [
        Contender(
            name=name,
            tasks=[build_task(task) for task in finalist.config.tasks if not task.auxiliary],
            validation=[[validation[spec.name] for spec in folds] for folds in finalist.by_seed()],
            networks=_separate_networks(finalist.config),
            macs=estimate(finalist.config).macs,
        )
        for name, finalist in finalists.items()
    ]


def score_records(study: str, finalists: Mapping[str, Finalist], found: Recommendation) -> list[FigureRecord]:
    """The scores that the choice rests on, as rows of the store beside the test figures to come."""
    return [
        FigureRecord(
            study=study,
            candidate=finalists[name].config.candidate,
            label=name,
            kind="model",
            split="validation",
            fold=-1,
            task=ALL_TASKS,
            metric="score",
            value=score.value,
            low=float(np.quantile(score.draws, 0.025)),
            high=float(np.quantile(score.draws, 0.975)),
            n=score.n,
            error=score.error,
            resampled=score.resampled,
        )
        for name, score in found.scores.items()
    ]


def _separate_networks(config: Config) -> int:
    """Separate encoders that learn anything."""
    learned = {task.name for task in config.tasks if task.weight > 0}
    return sum(bool(learned & set(group)) for group in topology_of(config).encoder[0])


def titles(finalists: Sequence[Finalist]) -> dict[str, str]:
    """Run to its network and fold in words; those that the search found come first, best first."""
    titles: dict[str, str] = {}
    for rank, finalist in enumerate(finalists, 1):
        for number, folds in enumerate(finalist.by_seed(), 1):
            seed = f", seed {number}" if finalist.seeds > 1 else ""
            for fold, spec in enumerate(folds, 1):
                titles[spec.name] = f"{finalist.name(rank)}, fold {fold} of {len(folds)}{seed}"
    return titles
