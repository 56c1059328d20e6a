"""The one bootstrap: intervals of metrics, and of differences between two models, over groups and seeds.

Samples of one group (slices of a volume, frames of a video, both eyes of a patient) are alike, so groups are drawn with
replacement and every sample of a drawn group comes along (the cluster bootstrap: Davison and Hinkley 1997, section 3.8;
Field and Welsh 2007). Drawing samples inside the drawn groups as well counts the variation within groups twice:
``benchmarks/coverage.py`` compares the schemes. Samples without a group are groups of one.

A figure also varies with the seed of the training (Bouthillier et al. 2021). Where each network was trained with S
seeds, the figure is the mean over seeds, and seeds are drawn crossed with groups (Owen 2007, "The pigeonhole
bootstrap").

A percentile interval is too narrow where few groups or seeds are drawn: its width lacks the factor sqrt(G / (G - 1)),
and it uses the normal quantile where Student's t holds (Hesterberg 2015, "What teachers should know about the
bootstrap", section 5.3). Its ends are therefore moved away from the estimate by both factors, with Satterthwaite's
degrees of freedom where groups and seeds both vary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from branchpoint.tasks.base import Summary, Task, select

FEWEST_GROUPS = 4
"""Fewest groups that are resampled; with fewer, samples are drawn, and the interval holds for these groups only."""


@dataclass(frozen=True)
class Interval:
    """A metric, or a difference of two, with its bootstrap interval.

    Attributes:
        value: on all samples, the mean over seeds; NaN where undefined.
        low: lower end; NaN where the metric is undefined in half of the resamples or more.
        high: upper end.
        n: labelled samples that the metric rests on.
        error: standard error over everything that was resampled; NaN where there is no interval.
        p: two-sided p-value of a difference; NaN otherwise.
        resampled: the units that were drawn, such as ``38 samples`` or ``3 seeds x 24 groups (1176 samples)``.
    """

    value: float
    low: float
    high: float
    n: int
    error: float = math.nan
    p: float = math.nan
    resampled: str = ""


@dataclass(frozen=True)
class Resampling:
    """The units that a bootstrap draws, for N samples.

    Attributes:
        unit: int64 (N,), the unit of each sample, from 0 to ``count`` - 1.
        count: number of units.
        text: the units in words.
    """

    unit: np.ndarray
    count: int
    text: str

    @classmethod
    def of(cls, groups: Sequence[str | None]) -> Resampling:
        """Groups where there are at least :data:`FEWEST_GROUPS`, samples otherwise.

        Args:
            groups: of each sample; ``None`` for a sample that stands alone.

        >>> Resampling.of(["a", "a", "b", "c", "c", None]).text
        '4 groups (6 samples)'
        """
        n = len(groups)
        units = [(place, "") if group is None else (-1, group) for place, group in enumerate(groups)]
        number = {unit: place for place, unit in enumerate(dict.fromkeys(units))}
        if len(number) == n:
            return cls(np.arange(n), n, f"{n} samples")
        if len(number) < FEWEST_GROUPS:
            plural = "group" if len(number) == 1 else "groups"
            text = f"{n} samples of {len(number)} {plural} (too few to resample: holds for these only)"
            return cls(np.arange(n), n, text)
        unit = np.array([number[unit] for unit in units], dtype=np.int64)
        return cls(unit, len(number), f"{len(number)} groups ({n} samples)")

    def counts(self, resamples: int, seed: int = 0) -> np.ndarray:
        """int64 (resamples, N): how often each sample is drawn; those of a unit together."""
        return resample_counts(self.count, resamples, seed)[:, self.unit]


def resample_counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """int64 (resamples, n): how often each of n units is drawn in each resample; every row sums to n.

    Raises:
        ValueError: ``resamples`` is not positive.
    """
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}: a bootstrap interval needs at least 1, better 1000")
    if not n:
        return np.zeros((resamples, 0), dtype=np.int64)
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)


def intervals(
    task: Task,
    runs: Summary | Sequence[Summary],
    *,
    groups: Sequence[str | None] = (),
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Metric name to interval, for every metric of ``task`` on the labelled samples.

    Metrics that the task does not resample (counts such as ``n_empty``) are facts of the cohort: low = value = high.
    Resamples in which a metric is undefined, such as one without events, are left out.

    Args:
        task: whose metrics.
        runs: summary of one network, or one for each seed, of the same samples.
        groups: of every sample of the cohort, looked up by the summary's ``index``; empty: samples stand alone.
        resamples: of the bootstrap.
        level: of the interval.
        seed: of the draws.

    Raises:
        ValueError: the runs are of different samples, ``level`` or ``resamples`` is out of range.
    """
    known = _labelled(task, _as_runs(runs))
    drawn = _Drawn.of(task, known, groups, resamples, seed)
    found = {}
    for name, values in drawn.values.items():
        if name in drawn.draws:
            found[name] = drawn.interval(values, drawn.draws[name], level, task.bounds(name))
        else:
            value = float(np.mean(values))
            found[name] = Interval(value, value, value, drawn.n)
    return {name: replace(each, n=task.entered(known[0], name)) for name, each in found.items()}


def paired_differences(
    task: Task,
    first: Summary | Sequence[Summary],
    second: Summary | Sequence[Summary],
    *,
    groups: Sequence[str | None] = (),
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Metric name to ``first`` minus ``second``: two models on the same samples, resampled together.

    What samples have in common (a hard case is hard for both) cancels, so that the interval is narrower than two
    intervals side by side suggest. The interval is the value plus or minus Student's t times the bootstrap's standard
    error, and ``p`` is the two-sided p-value of the same t: it is below 1 - ``level`` where the interval excludes 0.

    Args:
        task: whose metrics.
        first: summary of one network, or one for each seed.
        second: the same, run by run of the same seeds; a method without seeds (one summary) stands against each.
        groups: as in :func:`intervals`.
        resamples: of the bootstrap.
        level: of the interval.
        seed: of the draws.

    Raises:
        ValueError: the summaries are not of the same samples in the same order, or cannot be paired by seed.
    """
    pair = _paired(task, _as_runs(first), _as_runs(second))
    ours, theirs = (_Drawn.of(task, _labelled(task, runs), groups, resamples, seed) for runs in pair)
    found = {}
    for name in [name for name in ours.draws if name in theirs.draws]:
        apart = np.subtract(ours.values[name], theirs.values[name])
        found[name] = ours.difference(apart, ours.draws[name] - theirs.draws[name], level)
    known = _labelled(task, pair[0])[0]
    return {name: replace(each, n=task.entered(known, name)) for name, each in found.items()}


@dataclass(frozen=True)
class _Drawn:
    """Values (S,) and draws (S, R) of every metric of S runs, and what was drawn."""

    values: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]
    n: int
    units: int
    text: str

    @classmethod
    def of(
        cls, task: Task, known: Sequence[Summary], groups: Sequence[str | None], resamples: int, seed: int
    ) -> _Drawn:
        n = len(known[0]["labelled"])
        held = [groups[int(place)] for place in known[0]["index"]] if len(groups) else [None] * n
        plan = Resampling.of(held)
        counts = plan.counts(resamples, seed)
        values, draws = [task.metrics(run) for run in known], [task.resampled(run, counts) for run in known]
        seeds = f"{len(known)} seeds x " if len(known) > 1 else ""
        return cls(
            {name: np.array([each[name] for each in values]) for name in values[0]},
            {name: np.stack([each[name] for each in draws]) for name in draws[0]},
            n,
            plan.count,
            seeds + plan.text,
        )

    def interval(self, values: np.ndarray, drawn: np.ndarray, level: float, bounds: tuple[float, float]) -> Interval:
        """Percentile interval, its ends moved away from the value as the module says."""
        from scipy import stats

        value = float(np.mean(values))
        low, high = percentile_interval(_crossed(drawn), level)
        error, freedom = self._error(values, drawn)
        spread = float(np.nanstd(_crossed(drawn))) if not math.isnan(low) else 0.0
        if spread > 0 and freedom > 0:
            wider = stats.t.ppf(0.5 + level / 2, freedom) / stats.norm.ppf(0.5 + level / 2) * error / spread
            low, high = (float(np.clip(value + wider * (end - value), *bounds)) for end in (low, high))
        if math.isnan(low):
            error = math.nan
        return Interval(value, low, high, self.n, error, resampled=self.text)

    def difference(self, values: np.ndarray, drawn: np.ndarray, level: float) -> Interval:
        """Value plus or minus t times the standard error, with its p-value."""
        from scipy import stats

        value = float(np.mean(values))
        error, freedom = self._error(values, drawn)
        if math.isnan(value) or math.isnan(percentile_interval(drawn.mean(0), level)[0]) or not freedom > 0:
            return Interval(value, math.nan, math.nan, self.n, resampled=self.text)
        half = float(stats.t.ppf(0.5 + level / 2, freedom)) * error
        p = float(2 * stats.t.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0)
        return Interval(value, value - half, value + half, self.n, error, p, self.text)

    def _error(self, values: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
        """Standard error over units and seeds, and its degrees of freedom (Satterthwaite 1946)."""
        if self.units < 2 or np.isnan(drawn.mean(0)).all():
            return math.nan, 0.0
        of_units = float(np.nanvar(drawn.mean(0))) * self.units / (self.units - 1)
        if len(values) == 1:
            return math.sqrt(of_units), self.units - 1.0
        of_seeds = float(np.var(values, ddof=1)) / len(values)
        total = of_units + of_seeds
        if not total > 0:
            return 0.0, self.units - 1.0
        return math.sqrt(total), total**2 / (of_units**2 / (self.units - 1) + of_seeds**2 / (len(values) - 1))


def _crossed(drawn: np.ndarray, seed: int = 1) -> np.ndarray:
    """(R,): mean over seeds drawn with replacement, of (S, R); the part of the seeds has the variance of S - 1."""
    seeds, resamples = drawn.shape
    mean = drawn.mean(0)
    if seeds == 1:
        return mean
    chosen = np.random.default_rng(seed).integers(0, seeds, (resamples, seeds))
    over_seeds = drawn.T[np.arange(resamples)[:, None], chosen].mean(1)
    return mean + math.sqrt(seeds / (seeds - 1)) * (over_seeds - mean)


def _as_runs(runs: Summary | Sequence[Summary]) -> list[Summary]:
    return [runs] if not isinstance(runs, Sequence) else list(runs)


def _labelled(task: Task, runs: Sequence[Summary]) -> list[Summary]:
    for other in runs[1:]:
        _require_same_samples(task, runs[0], other)
    rows = runs[0]["labelled"].astype(bool)
    return [select(run, rows) for run in runs]


def _paired(task: Task, first: list[Summary], second: list[Summary]) -> tuple[list[Summary], list[Summary]]:
    if len(second) == 1:
        second = second * len(first)
    elif len(first) == 1:
        first = first * len(second)
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} runs and {len(second)} of task {task.name!r} cannot be paired by seed")
    for one, other in zip(first, second, strict=True):
        _require_same_samples(task, one, other)
    return first, second


def _require_same_samples(task: Task, first: Summary, second: Summary) -> None:
    for name in {"labelled", "index", "fold"} & (set(first) | set(second)):
        if name not in first or name not in second or not np.array_equal(first[name], second[name]):
            raise ValueError(
                f"two summaries of task {task.name!r} differ in {name!r}: they are of different samples; compare the "
                "same samples, in the same order, from the same folds"
            )


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile interval of (R,) resamples; NaN where half of them or more are undefined.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: must lie strictly between 0 and 1, such as 0.95")
    defined = draws[~np.isnan(draws)]
    if 2 * len(defined) <= len(draws):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
