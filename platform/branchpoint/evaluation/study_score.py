"""The score of a study with its standard error: one number for a network that does several tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from branchpoint.evaluation.bootstrap import Resampling
from branchpoint.tasks.base import Summary, Task


@dataclass(frozen=True)
class StudyScore:
    """A score with its error.

    Attributes:
        value: from 0 (chance) to 1 (perfect).
        error: standard error over groups.
        n: samples with a label of any task.
        resampled: the units that were drawn.
        units: how many there are: groups, or samples that stand alone.
        draws: (R,) scores of the bootstrap. Scores on the same samples with the same seed are paired.
    """

    value: float
    error: float
    n: int
    resampled: str
    units: int
    draws: np.ndarray = field(repr=False, compare=False)

    def less(self, other: StudyScore) -> tuple[float, float]:
        """This score minus ``other`` on the same samples, and the standard error of the difference."""
        return self.value - other.value, _error(self.draws - other.draws, self.units)


def study_score(
    tasks: Sequence[Task],
    summaries: Mapping[str, Summary],
    *,
    weights: Mapping[str, float] | None = None,
    groups: Sequence[str | None] = (),
    resamples: int = 200,
    seed: int = 0,
) -> StudyScore:
    """Weighted mean over tasks of :meth:`branchpoint.tasks.base.Task.share` of the primary metric.

    Each share is corrected for chance: Dice 0, a C-index or AUC of 0.5, a balanced accuracy of 1 / K and a kappa of 0
    count 0, perfect answers 1. An undefined metric counts as chance, and so does a task that the network was not
    trained for. The standard error is that of a bootstrap which draws the same groups for all tasks, so that what tasks
    have in common counts once.

    Args:
        tasks: that are scored, each with a summary.
        summaries: task name to summary, with ``index``.
        weights: task name to what it is worth; the task's importance where not given.
        groups: of every sample of the cohort; empty: samples stand alone.
        resamples: of the bootstrap.
        seed: of the draws.

    Raises:
        ValueError: no task has a positive weight, or one is negative.
    """
    worth = np.array([float((weights or {}).get(task.name, task.config.importance)) for task in tasks])
    if not len(tasks) or (worth < 0).any() or worth.sum() == 0:
        raise ValueError(f"the weights of the tasks are {dict(weights or {})}: none may be negative, and not all 0")
    labelled = [np.asarray(summaries[task.name]["labelled"], dtype=bool) for task in tasks]
    places = [np.asarray(summaries[task.name]["index"]) for task in tasks]
    known = np.unique(np.concatenate([index[rows] for index, rows in zip(places, labelled, strict=True)]))
    plan = Resampling.of([groups[int(place)] if len(groups) else None for place in known])
    counts = plan.counts(resamples, seed)
    values, draws = [], []
    for task, index, rows in zip(tasks, places, labelled, strict=True):
        of_task = np.zeros((resamples, len(index)), dtype=np.int64)
        of_task[:, rows] = counts[:, np.searchsorted(known, index[rows])]
        summary = summaries[task.name]
        values.append(_share(task, task.metrics(summary)[task.primary_metric]))
        drawn = task.resampled(summary, of_task)[task.primary_metric]
        draws.append([_share(task, float(value)) for value in drawn])
    worth = worth / worth.sum()
    drawn = worth @ np.array(draws)
    value = float(worth @ np.array(values))
    return StudyScore(value, _error(drawn, plan.count), len(known), plan.text, plan.count, drawn)


def mean_score(scores: Sequence[StudyScore], seed: int = 0) -> StudyScore:
    """The score of a configuration that was trained with several seeds: their mean, seeds crossed with groups.

    Args:
        scores: of each training seed, paired.
        seed: of the draws of training seeds.
    """
    picked = np.random.default_rng(seed).integers(len(scores), size=(len(scores), len(scores[0].draws)))
    drawn = np.take_along_axis(np.stack([each.draws for each in scores]), picked, axis=0).mean(axis=0)
    value = float(np.mean([each.value for each in scores]))
    return replace(scores[0], value=value, error=_error(drawn, scores[0].units), draws=drawn)


def _error(draws: np.ndarray, units: int) -> float:
    """Standard error from draws with replacement of ``units``, which spread too little by the factor (n - 1) / n."""
    return float(np.std(draws)) * math.sqrt(units / (units - 1)) if units > 1 else math.nan


def _share(task: Task, value: float) -> float:
    if task.config.weight == 0:
        return 0.0
    return task.share(task.chance if math.isnan(value) else value)
