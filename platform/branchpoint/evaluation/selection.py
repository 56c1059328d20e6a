"""The choice of a finalist, fold by fold: a fold's test samples have no part in what is tested on them.

A choice made once for all folds, by the mean over their validation parts, is optimistic: validation samples of one fold
are test samples of another. Here every fold makes a choice of its own, from validation predictions of all folds without
the samples that it tests (nor others of their groups). The figures of "best found" are then those of the procedure that
chooses, which may take another finalist in each fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from branchpoint.evaluation.evaluation import pool
from branchpoint.evaluation.study_score import study_score
from branchpoint.tasks.base import Summary, Task, select


def choose_by_fold(
    tasks: Mapping[str, Sequence[Task]],
    validation: Mapping[str, Sequence[Mapping[str, Summary]]],
    test: Sequence[np.ndarray],
    *,
    weights: Mapping[str, float] | None = None,
    groups: Sequence[str | None] = (),
) -> list[str]:
    """The chosen finalist of each fold: the best by :func:`.study_score`, the first of equals.

    Args:
        tasks: finalist to the tasks that are scored.
        validation: finalist to the summaries of the validation samples, task by task, of each fold.
        test: positions of the test samples of each fold.
        weights: task name to what it is worth.
        groups: of every sample of the cohort; samples of a test sample's group choose nothing either.

    Raises:
        ValueError: there is no finalist, or a finalist lacks folds, or a fold's test samples leave none to choose by.
    """
    if not validation:
        raise ValueError("there is no finalist to choose from")
    for name, folds in validation.items():
        if len(folds) != len(test):
            raise ValueError(f"finalist {name} has validation predictions of {len(folds)} of {len(test)} folds")
    return [_best(tasks, validation, _tested(part, groups), weights) for part in test]


def _best(
    tasks: Mapping[str, Sequence[Task]],
    validation: Mapping[str, Sequence[Mapping[str, Summary]]],
    tested: np.ndarray,
    weights: Mapping[str, float] | None,
) -> str:
    values = {}
    for name, folds in validation.items():
        kept = {
            task.name: pool([select(fold[task.name], ~np.isin(fold[task.name]["index"], tested)) for fold in folds])
            for task in tasks[name]
        }
        if not any(len(summary["index"]) for summary in kept.values()):
            raise ValueError("every validation sample is a test sample of this fold: there is nothing to choose by")
        values[name] = study_score(tasks[name], kept, weights=weights, resamples=1).value
    return max(values, key=lambda name: values[name])


def _tested(part: np.ndarray, groups: Sequence[str | None]) -> np.ndarray:
    """Positions of the test samples and of everything in their groups."""
    held = {groups[int(place)] for place in part} - {None} if len(groups) else set()
    others = [place for place, group in enumerate(groups) if group in held]
    return np.union1d(np.asarray(part, dtype=np.int64), np.array(others, dtype=np.int64))
