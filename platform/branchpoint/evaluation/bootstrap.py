"""Percentile bootstrap over patients: intervals of metrics, and of differences between two models.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Patients are drawn with replacement; a
resample is a row of counts, so that a task computes a metric of all resamples at once (``Task.resampled``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from branchpoint.tasks.base import Summary, Task, select


@dataclass(frozen=True)
class Interval:
    """A metric and its bootstrap interval.

    Attributes:
        value: of all patients; NaN where undefined.
        low: lower end; NaN where the metric is undefined in half of the resamples or more.
        high: upper end.
        n: labelled patients.
    """

    value: float
    low: float
    high: float
    n: int


def resample_counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """int (resamples, n): how often each of n patients is drawn in each resample; every row sums to n.

    Raises:
        ValueError: ``resamples`` is not positive.
    """
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}: a bootstrap interval needs at least 1, better 1000")
    if not n:
        return np.zeros((resamples, 0), dtype=np.int64)
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)


def intervals(
    task: Task, summary: Summary, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Metric name to interval, for every metric of ``task`` on the labelled patients of ``summary``.

    Metrics that the task does not resample (counts such as ``n_empty``) are facts of the cohort: low = value = high.
    Resamples in which a metric is undefined, such as one without events, are left out.
    """
    known = select(summary, summary["labelled"])
    n = len(known["labelled"])
    draws = task.resampled(known, resample_counts(n, resamples, seed))
    found = {}
    for name, value in task.metrics(known).items():
        low, high = percentile_interval(draws[name], level) if name in draws else (value, value)
        found[name] = Interval(value, low, high, n)
    return found


def paired_differences(
    task: Task, first: Summary, second: Summary, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Metric name to ``first`` minus ``second``: two models on the same patients, resampled together.

    What patients have in common (a hard case is hard for both) cancels, so that the interval is narrower than two
    intervals side by side suggest. An interval that excludes 0 speaks for a difference.

    Raises:
        ValueError: the summaries are not of the same patients in the same order.
    """
    _require_same_patients(task, first, second)
    rows = first["labelled"]
    pair = select(first, rows), select(second, rows)
    n = int(rows.sum())
    counts = resample_counts(n, resamples, seed)
    draws, values = [task.resampled(known, counts) for known in pair], [task.metrics(known) for known in pair]
    found = {}
    for name in draws[0]:
        low, high = percentile_interval(draws[0][name] - draws[1][name], level)
        found[name] = Interval(values[0][name] - values[1][name], low, high, n)
    return found


def _require_same_patients(task: Task, first: Summary, second: Summary) -> None:
    for name in {"labelled", "index", "fold"} & (set(first) | set(second)):
        if name not in first or name not in second or not np.array_equal(first[name], second[name]):
            raise ValueError(
                f"the two summaries of task {task.name!r} differ in {name!r}: a paired difference needs "
                "the same patients, in the same order, from the same folds"
            )


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of (R,) resamples; NaN where half of them or more are undefined."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: must lie strictly between 0 and 1, such as 0.95")
    defined = draws[~np.isnan(draws)]
    if 2 * len(defined) <= len(draws):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
