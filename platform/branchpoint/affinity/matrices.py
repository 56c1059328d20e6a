"""Affinities of tasks: matrices with their standard errors.

Every matrix is ``[recipient, source]``: row i is helped by column j. (TAG's published training code stores the
transpose; its selection reads this one.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MEASURES = ("lookahead", "excess", "cosine")
WHOLE = "all"
"""Name of the stage that stands for everything that tasks share."""


@dataclass(frozen=True)
class Matrix:
    """One measure in one stage, over T tasks.

    Attributes:
        measure: ``lookahead`` (TAG), ``excess`` (the same less what momentum alone does) or ``cosine``.
        stage: ``all``, or such as ``encoder 2`` or ``decoder 0``.
        mean: float64 (T, T), [recipient, source]; NaN where two tasks do not share the stage.
        error: standard error of the mean, (T, T), over :func:`blocks` of measurements: those of a training follow each
            other and are alike.
        count: measurements, int (T, T).
    """

    measure: str
    stage: str
    mean: np.ndarray
    error: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class Affinities:
    """What :func:`measure_affinities` found.

    Attributes:
        tasks: T names, rows and columns of every matrix.
        stages: names of the stages that two tasks share, in order.
        matrices: each measure for ``all`` and for each stage.
        measurements: batches that were looked at.
        seconds, seconds_measuring: of the whole training, and of what measuring added.
        extra_bytes: memory that measuring took beside the training.
    """

    tasks: tuple[str, ...]
    stages: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    measurements: int
    seconds: float
    seconds_measuring: float
    extra_bytes: int

    def matrix(self, measure: str = "lookahead", stage: str = WHOLE) -> Matrix:
        """The matrix of that measure and stage; KeyError where there is none."""
        for matrix in self.matrices:
            if (matrix.measure, matrix.stage) == (measure, stage):
                return matrix
        raise KeyError(f"no matrix of {measure!r} for stage {stage!r}")

    def cost(self) -> str:
        """What measuring cost, in words."""
        base = self.seconds - self.seconds_measuring
        return (
            f"{self.measurements} measurements of {len(self.tasks)} tasks and {len(self.stages)} stages took "
            f"{self.seconds_measuring:.1f} s beside {base:.1f} s of training "
            f"(x {self.seconds / base if base > 0 else float('inf'):.2f}) and {self.extra_bytes / 1e6:.1f} MB"
        )


class Series:
    """Measurements in the order of the training, from which a matrix follows."""

    def __init__(self, size: int) -> None:
        """Of no measurement yet, for ``size`` tasks."""
        self._values: list[list[list[float]]] = [[[] for _ in range(size)] for _ in range(size)]

    def add(self, recipient: int, source: int, value: float) -> None:
        """Take in one value, where it is finite."""
        if np.isfinite(value):
            self._values[recipient][source].append(value)

    def matrix(self, measure: str, stage: str) -> Matrix:
        """Means and their errors."""
        found = [[mean_and_error(values) for values in row] for row in self._values]
        count = np.array([[len(values) for values in row] for row in self._values])
        both = np.array(found)
        return Matrix(measure, stage, both[..., 0], both[..., 1], count)


def blocks(count: int) -> int:
    """Into how many blocks of floor(sqrt(count)) neighbours ``count`` measurements are cut (Flegal and Jones 2010).

    >>> [blocks(count) for count in (0, 1, 3, 10, 100)]
    [0, 1, 3, 3, 10]
    """
    return count // math.isqrt(count) if count else 0


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean of a series, and its standard error from the means of blocks; NaN where there are too few.

    Values that follow each other in a training are correlated, so that the standard deviation over single ones, divided
    by the square root of their number, is too small an error. Block means are nearly independent ("Batch means and
    spectral variance estimators in Markov chain Monte Carlo", Annals of Statistics 38, eq. 6).
    """
    if not values:
        return math.nan, math.nan
    number, series = blocks(len(values)), np.asarray(values, dtype=np.float64)
    mean = float(series.mean())
    if number < 2:
        return mean, math.nan
    size = len(series) // number
    means = series[-number * size :].reshape(number, size).mean(axis=1)
    return mean, float(means.std(ddof=1) / math.sqrt(number))
