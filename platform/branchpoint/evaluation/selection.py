"""Which of a study's finalists is recommended, and the same choice fold by fold.

The one-standard-error rule (Breiman et al. 1984, section 3.4.3; Hastie, Tibshirani and Friedman 2009, section 7.10) on
paired differences: of the finalists whose score lies within one standard error of the best's, the simplest, which has
the fewest networks and then the fewest multiply-accumulates. A more complex one is worth it only if it is better.

A choice made once for all folds is optimistic: validation samples of one fold are test samples of another. So every
fold makes a choice of its own, too, from validation predictions of all folds without the samples that it tests (nor
others of their groups). Figures of "best found" can then be those of the procedure that chooses, which may take another
finalist in each fold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.evaluation.evaluation import pool
from branchpoint.evaluation.study_score import StudyScore, mean_score, study_score
from branchpoint.tasks.base import Summary, Task, select

DETECTABLE = 1.96 + 0.84
"""Standard errors that a difference must have to be found by a two-sided test at 5 % with a power of 80 %."""

LEAST_DIFFERENCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A configuration that was trained on all folds.

    Attributes:
        name: for people.
        tasks: those that are scored; a task of weight 0 was not learned.
        validation: the summaries of the validation samples by task, of each seed and fold.
        networks: separate encoders.
        macs: multiply-accumulates of one sample.
    """

    name: str
    tasks: Sequence[Task]
    validation: Sequence[Sequence[Mapping[str, Summary]]]
    networks: int = 1
    macs: float = 0.0

    @property
    def learns_all(self) -> bool:
        """Whether it learned every task that counts."""
        return all(task.config.weight > 0 for task in self.tasks if task.config.importance > 0)


@dataclass(frozen=True)
class Recommendation:
    """What a study recommends.

    Attributes:
        chosen: name of the finalist.
        best: name of the one with the highest score.
        scores: name to score on validation samples.
    """

    chosen: str
    best: str
    scores: Mapping[str, StudyScore]

    def text(self) -> str:
        """The recommendation and what speaks for it, in sentences."""
        own = self.scores[self.chosen]
        score = f"score {own.value:.3f} (standard error {own.error:.3f}) on validation samples"
        if self.chosen == self.best:
            return f"recommended: {self.best}, {score}: no simpler finalist is within one standard error of it"
        difference, error = self.scores[self.best].less(own)
        needed = units_needed(difference, error, own.units)
        more = f"; about {needed:,} of them would show such a difference" if needed else ""
        return (
            f"recommended: {self.chosen}, {score}. {self.best} scores {difference:.3f} more, with a standard error of "
            f"{error:.3f} over {own.resampled}: no difference can be shown, so the simpler one is recommended{more}"
        )


def units_needed(difference: float, error: float, units: int) -> int | None:
    """How many groups or samples a study needs to find ``difference`` (two-sided, 5 %, power 80 %).

    The standard error falls with the root of their number (Chow, Shao and Wang 2008, section 3.1). ``None`` where the
    difference is too small to matter.

    Args:
        difference: that was observed.
        error: its standard error over ``units``.
        units: groups, or samples that stand alone.
    """
    if abs(difference) < LEAST_DIFFERENCE or not math.isfinite(error):
        return None
    return max(2, math.ceil(units * (DETECTABLE * error / difference) ** 2))


def recommend(
    contenders: Sequence[Contender],
    *,
    left_out: np.ndarray | None = None,
    groups: Sequence[str | None] = (),
    resamples: int = 200,
) -> Recommendation:
    """The simplest of the finalists within one standard error of the best.

    Finalists that did not learn a task that counts are chosen only where none learned all.

    Args:
        contenders: the finalists.
        left_out: positions of samples that must not take part.
        groups: of every sample of the cohort.
        resamples: of the bootstrap.

    Raises:
        ValueError: there is no finalist, or ``left_out`` leaves nothing to choose by.
    """
    if not contenders:
        raise ValueError("there is no finalist to choose from")
    scores = {each.name: _score(each, left_out, groups, resamples) for each in contenders}
    able = [each for each in contenders if each.learns_all] or list(contenders)
    best = max(able, key=lambda each: scores[each.name].value)
    close = [each for each in able if _within_one_error(scores[best.name], scores[each.name])]
    chosen = min(close, key=lambda each: (each.networks, each.macs, -scores[each.name].value))
    return Recommendation(chosen.name, best.name, scores)


def choose_by_fold(
    contenders: Sequence[Contender],
    test: Sequence[np.ndarray],
    *,
    groups: Sequence[str | None] = (),
    resamples: int = 200,
) -> list[str]:
    """The finalist that each fold chooses by :func:`recommend` without its test samples.

    Args:
        contenders: the finalists.
        test: positions of the test samples of each fold.
        groups: of every sample of the cohort; samples of a test sample's group choose nothing either.
        resamples: of the bootstrap.

    Raises:
        ValueError: there is no finalist, or a finalist lacks folds, or a fold's test samples leave none to choose by.
    """
    for each in contenders:
        for folds in each.validation:
            if len(folds) != len(test):
                raise ValueError(
                    f"finalist {each.name} has validation predictions of {len(folds)} of {len(test)} folds"
                )
    return [
        recommend(contenders, left_out=_tested(part, groups), groups=groups, resamples=resamples).chosen
        for part in test
    ]


def _within_one_error(best: StudyScore, other: StudyScore) -> bool:
    difference, error = best.less(other)
    return difference <= (0.0 if math.isnan(error) else error)


def _score(
    contender: Contender, left_out: np.ndarray | None, groups: Sequence[str | None], resamples: int
) -> StudyScore:
    excluded = np.array([], dtype=np.int64) if left_out is None else left_out
    of_seeds = []
    for folds in contender.validation:
        kept = {
            task.name: pool([select(fold[task.name], ~np.isin(fold[task.name]["index"], excluded)) for fold in folds])
            for task in contender.tasks
        }
        if not any(len(summary["index"]) for summary in kept.values()):
            raise ValueError("every validation sample is a test sample of this fold: there is nothing to choose by")
        of_seeds.append(study_score(contender.tasks, kept, groups=groups, resamples=resamples))
    return mean_score(of_seeds)


def _tested(part: np.ndarray, groups: Sequence[str | None]) -> np.ndarray:
    """Positions of the test samples and of everything in their groups."""
    held = {groups[int(place)] for place in part} - {None} if len(groups) else set()
    others = [place for place, group in enumerate(groups) if group in held]
    return np.union1d(np.asarray(part, dtype=np.int64), np.array(others, dtype=np.int64))
