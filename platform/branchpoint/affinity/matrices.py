"""Affinities of tasks: matrices with their standard errors.

Every matrix is ``[recipient, source]``: row i is helped by column j. (TAG's published training code stores the
transpose; its selection reads this one.)
"""

from __future__ import annotations

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
        error: standard error of the mean over measurements, (T, T).
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


@dataclass
class Sums:
    """Sums over measurements, from which a matrix follows."""

    total: np.ndarray
    squares: np.ndarray
    count: np.ndarray

    @classmethod
    def zeros(cls, size: int) -> Sums:
        """Of no measurement yet, for ``size`` tasks."""
        return cls(np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size), int))

    def add(self, recipient: int, source: int, value: float) -> None:
        """Take in one value, where it is finite."""
        if np.isfinite(value):
            self.total[recipient, source] += value
            self.squares[recipient, source] += value**2
            self.count[recipient, source] += 1

    def matrix(self, measure: str, stage: str) -> Matrix:
        """Means and their errors."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.total / self.count
            variance = (self.squares - self.count * mean**2).clip(0) / (self.count - 1)
            error = np.sqrt(variance / self.count)
        return Matrix(measure, stage, mean, error, self.count.copy())
