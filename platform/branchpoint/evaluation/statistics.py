"""Means over seeds with intervals, and paired tests, by a bootstrap of two levels: seeds and samples.

A figure of one trained network varies with the samples it is tested on and with the seed it was trained by (Bouthillier
et al. 2021, "Accounting for variance in machine learning benchmarks"). Each resample draws samples and seeds with
replacement and takes the mean over its seeds (Efron and Tibshirani 1993, chapters 13 and 16). Two rows of a table are
resampled together, seed by seed on the same samples; the p-value is twice the smaller share of resamples on one side of
no difference. Slices of one volume and frames of one video are drawn together, where there are enough of them to draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.evaluation.bootstrap import Interval, percentile_interval, resample_counts
from branchpoint.tasks.base import Summary, Task, select

FEWEST_GROUPS = 8
"""With fewer volumes or videos a bootstrap of them says little: samples are drawn instead, and intervals too narrow."""


@dataclass(frozen=True)
class Estimate(Interval):
    """A mean over seeds, or a difference of two, with its 95 % interval; ``n`` samples.

    Attributes:
        p: two-sided, of a difference; NaN else.
    """

    p: float = float("nan")


def draws(n: int, groups: Sequence[str | None], resamples: int, seed: int = 0) -> np.ndarray:
    """int (resamples, n): how often each sample is drawn; those of a group together, where there are enough groups.

    Args:
        groups: of each sample; ``None`` for one that stands alone.
    """
    units: list[str | int] = [place if group is None else group for place, group in enumerate(groups)]
    number = {unit: place for place, unit in enumerate(dict.fromkeys(units))}
    if len(number) < FEWEST_GROUPS:
        return resample_counts(n, resamples, seed)
    return resample_counts(len(number), resamples, seed)[:, [number[unit] for unit in units]]


def estimate(
    task: Task, metric: str, runs: Sequence[Summary], groups: Sequence[str | None], resamples: int = 1000
) -> Estimate:
    """Mean over ``runs`` (one for each seed, of the same samples) with its interval.

    Args:
        task: whose metric.
        metric: its name.
        runs: of each seed.
        groups: of each sample.
        resamples: of the bootstrap.
    """
    values, drawn, n = _of_runs(task, metric, runs, groups, resamples)
    return Estimate(float(np.mean(values)), *percentile_interval(_over_seeds(drawn)), n)


def difference(
    task: Task,
    metric: str,
    first: Sequence[Summary],
    second: Sequence[Summary],
    groups: Sequence[str | None],
    resamples: int = 1000,
) -> Estimate:
    """Mean of ``first`` minus ``second`` over seeds, with interval and p-value, paired by seed and sample.

    Raises:
        ValueError: they are not of the same seeds and samples.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} runs and {len(second)} cannot be paired by seed")
    for one, other in zip(first, second, strict=True):
        if not all(np.array_equal(one[name], other[name]) for name in ("index", "labelled")):
            raise ValueError(f"the runs of task {task.name!r} are of different samples: they cannot be paired")
    values, drawn, n = _of_runs(task, metric, first, groups, resamples)
    others, drawn_others, _ = _of_runs(task, metric, second, groups, resamples)
    apart = _over_seeds(drawn - drawn_others)
    known = apart[~np.isnan(apart)]
    sides = [(1 + np.count_nonzero(side)) / (1 + len(known)) for side in (known <= 0, known >= 0)]
    p = min(1.0, 2 * min(sides)) if len(known) else float("nan")
    return Estimate(float(np.mean(values) - np.mean(others)), *percentile_interval(apart), n, p)


def _of_runs(
    task: Task, metric: str, runs: Sequence[Summary], groups: Sequence[str | None], resamples: int
) -> tuple[list[float], np.ndarray, int]:
    """Value of each run, (S, R) of the resamples, and the number of labelled samples."""
    rows = runs[0]["labelled"].astype(bool)
    known = [select(run, rows) for run in runs]
    counts = draws(int(rows.sum()), [group for group, kept in zip(groups, rows, strict=True) if kept], resamples)
    values = [task.metrics(summary)[metric] for summary in known]
    return values, np.stack([task.resampled(summary, counts)[metric] for summary in known]), int(rows.sum())


def _over_seeds(drawn: np.ndarray, seed: int = 1) -> np.ndarray:
    """(R,): mean over seeds drawn with replacement, of (S, R)."""
    seeds, resamples = drawn.shape
    chosen = np.random.default_rng(seed).integers(0, seeds, (resamples, seeds))
    return drawn.T[np.arange(resamples)[:, None], chosen].mean(1)
