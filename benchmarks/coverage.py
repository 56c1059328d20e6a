"""How often 95 % intervals hold the truth, by simulation: the evaluation's own bootstrap on data whose truth is known.

Means of samples that stand alone or in groups (slices of volumes, eyes of patients), beside what a bootstrap of samples
would cover; seeds crossed with patients; paired differences; C-index. And the bias that the choice of a finalist leaves
in "best found minus reference" where all finalists are equally good, for a choice made once for all folds on patients
who are tested later, and for the choice fold by fold (branchpoint.evaluation.selection).

    python benchmarks/coverage.py                     # 2,000 repetitions of each, some minutes on one core
    python benchmarks/coverage.py --repetitions 100   # seconds
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np

from branchpoint.config import RegressionConfig, SegmentationConfig, SurvivalConfig
from branchpoint.evaluation.bootstrap import Interval, intervals, paired_differences
from branchpoint.evaluation.selection import Contender, choose_by_fold
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary

MEAN = build_task(RegressionConfig(name="mean", target="mean"))
OUTLINE = build_task(SegmentationConfig(name="outline", target="outline"))
SURVIVAL = build_task(SurvivalConfig(name="survival", target="survival"))
Choice = Literal["once", "by fold"]
RESAMPLES = 500
CENTRE = 100.0
"""Added to all values: the mean absolute error of positive values is their mean."""


@dataclass(frozen=True)
class Case:
    """One simulation.

    Attributes:
        name: what is drawn.
        once: an interval of new data, drawn by the generator.
        truth: what it should hold.
    """

    name: str
    once: Callable[[np.random.Generator], Interval]
    truth: float


def summary(values: np.ndarray) -> Summary:
    """Samples whose ``mae`` is the mean of ``values``."""
    n = len(values)
    known = {"labelled": np.ones(n, dtype=bool), "index": np.arange(n)}
    return {"prediction": values + CENTRE, "value": np.zeros(n), **known}


def grouped_mean(groups: int, size: int, correlation: float, whole: bool = True) -> Case:
    """Mean of ``groups`` x ``size`` samples with this correlation within a group."""
    names: list[str | None] = [f"group {place // size}" for place in range(groups * size)]

    def once(rng: np.random.Generator) -> Interval:
        common = np.repeat(rng.normal(size=groups), size)
        values = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.normal(size=groups * size)
        return intervals(MEAN, summary(values), groups=names if whole else (), resamples=RESAMPLES)["mae"]

    kind = "" if size == 1 else ", groups drawn" if whole else ", samples drawn (not used)"
    shape = f"{groups} samples" if size == 1 else f"{groups} groups of {size}, correlation {correlation:g}"
    return Case(f"mean: {shape}{kind}", once, CENTRE)


def seeds_by_patients(seeds: int, patients: int, of_seeds: float) -> Case:
    """Mean over seeds; ``of_seeds``: variance of the mean that comes from the seeds, as a share."""

    def once(rng: np.random.Generator) -> Interval:
        return intervals(MEAN, _runs(rng, seeds, patients, of_seeds), resamples=RESAMPLES)["mae"]

    return Case(f"mean: {seeds} seeds x {patients} patients, {of_seeds:.0%} of the variance from seeds", once, CENTRE)


def paired_difference(seeds: int, patients: int, of_seeds: float) -> Case:
    """Two models on the same patients, hard cases being hard for both."""

    def once(rng: np.random.Generator) -> Interval:
        common = 3 * rng.normal(size=patients)
        first, second = (
            [{**run, "prediction": run["prediction"] + common} for run in _runs(rng, seeds, patients, of_seeds)]
            for _ in range(2)
        )
        return paired_differences(MEAN, first, second, resamples=RESAMPLES)["mae"]

    return Case(f"paired difference: {seeds} seeds x {patients} patients, {of_seeds:.0%} from seeds", once, 0.0)


def _runs(rng: np.random.Generator, seeds: int, patients: int, of_seeds: float) -> list[Summary]:
    """Variance 1 / patients of the mean from patients, the rest of seeds, and noise of each prediction."""
    offset = np.sqrt(of_seeds / (1 - of_seeds) * seeds / patients)
    own = rng.normal(size=patients)
    return [
        summary(own + offset * rng.normal() + 0.3 * rng.normal(size=patients))  # one draw of the offset for each seed
        for _ in range(seeds)
    ]


def survivors(rng: np.random.Generator, patients: int, noise: float = 1.0, models: int = 1) -> list[Summary]:
    """Exponential survival with log-hazard ~ N(0, 1), about half censored, predicted with an error."""
    hazard = rng.normal(size=patients)
    died, censored = rng.exponential(np.exp(-hazard)), rng.exponential(1.0, patients)
    known = {
        "time_days": np.minimum(died, censored),
        "event": died < censored,
        "labelled": np.ones(patients, dtype=bool),
        "index": np.arange(patients),
    }
    return [{"log_hazard": hazard + noise * rng.normal(size=patients), **known} for _ in range(models)]


def c_index(patients: int) -> Case:
    """Harrell's C of patients whose pairs are all comparable by time and event."""

    def once(rng: np.random.Generator) -> Interval:
        return intervals(SURVIVAL, survivors(rng, patients), resamples=RESAMPLES)["c_index"]

    return Case(f"C-index: {patients} patients", once, true_c_index())


@cache
def true_c_index() -> float:
    """The mean over 20 cohorts of 3,000 patients."""
    found = [SURVIVAL.metrics(survivors(np.random.default_rng(seed), 3000)[0])["c_index"] for seed in range(20)]
    return float(np.mean(found))


def c_index_difference(patients: int) -> Case:
    """C-indices of two models that are equally good, on the same patients."""

    def once(rng: np.random.Generator) -> Interval:
        first, second = survivors(rng, patients, models=2)
        return paired_differences(SURVIVAL, first, second, resamples=RESAMPLES)["c_index"]

    return Case(f"paired difference of C-indices: {patients} patients", once, 0.0)


def cases() -> list[Case]:
    """All simulations of intervals."""
    return [
        grouped_mean(30, 1, 0.0),
        grouped_mean(100, 1, 0.0),
        grouped_mean(24, 49, 0.58, whole=False),
        grouped_mean(24, 49, 0.58),
        grouped_mean(24, 49, 0.05),
        grouped_mean(8, 20, 0.5),
        grouped_mean(4, 20, 0.5),
        grouped_mean(40, 2, 0.3),
        seeds_by_patients(3, 60, 0.2),
        seeds_by_patients(3, 60, 0.5),
        seeds_by_patients(5, 60, 0.8),
        paired_difference(1, 60, 0.0),
        paired_difference(3, 60, 0.3),
        c_index(60),
        c_index(150),
        c_index_difference(100),
    ]


def coverage(case: Case, repetitions: int, seed: int = 0) -> tuple[float, float]:
    """Share of intervals that hold the truth, and their mean width."""
    found = [case.once(np.random.default_rng([seed, repetition])) for repetition in range(repetitions)]
    held = np.mean([interval.low <= case.truth <= interval.high for interval in found])
    return float(held), float(np.mean([interval.high - interval.low for interval in found]))


def selection_bias(mode: Choice, repetitions: int, seed: int = 0) -> tuple[float, float]:
    """Mean of "best found minus reference" and its standard error, where all finalists are equally good.

    Ten finalists and 60 patients in five folds, the validation part of a fold being the next fold's test part; a
    finalist does better on some patients than on others, in validation and test alike.
    """
    finalists, patients, folds = 10, 60, 5
    test = np.array_split(np.arange(patients), folds)
    found = []
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, repetition])
        hard, own = rng.normal(0.6, 0.1, patients), rng.normal(0, 0.1, (finalists + 1, patients))
        seen, tested = (np.clip(hard + own + rng.normal(0, 0.03, own.shape), 0, 1) for _ in range(2))
        if mode == "once":
            chosen = [int(seen[:-1].mean(1).argmax())] * folds
        else:
            names = [str(number) for number in range(finalists)]
            contenders = [
                Contender(
                    name=name,
                    tasks=[OUTLINE],
                    validation=[
                        [{"outline": _outlines(seen[int(name)], test[(fold + 1) % folds])} for fold in range(folds)]
                    ],
                )
                for name in names
            ]
            chosen = [int(name) for name in choose_by_fold(contenders, test)]
        best = np.concatenate([tested[number, part] for number, part in zip(chosen, test, strict=True)])
        found.append(best.mean() - tested[-1].mean())
    return float(np.mean(found)), float(np.std(found) / np.sqrt(repetitions))


def _outlines(dice: np.ndarray, index: np.ndarray) -> Summary:
    size = np.full((len(index), 1), 10_000)
    overlap = np.round(dice[index][:, None] * size).astype(np.int64)
    labelled = np.ones(len(index), dtype=bool)
    return {"overlap": overlap, "predicted": size, "truth": size, "labelled": labelled, "index": index}


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    options = parser.parse_args(arguments)
    print(f"| {options.repetitions} repetitions | coverage | mean width |\n|---|---|---|", flush=True)
    for case in cases():
        held, width = coverage(case, options.repetitions)
        print(f"| {case.name} | {held:.3f} | {width:.3f} |", flush=True)
    print("\n| best found minus reference, all equally good | mean | standard error |\n|---|---|---|")
    for mode in get_args(Choice):
        mean, error = selection_bias(mode, options.repetitions)
        print(f"| chosen {mode} | {mean:+.4f} | {error:.4f} |", flush=True)


if __name__ == "__main__":
    main()
