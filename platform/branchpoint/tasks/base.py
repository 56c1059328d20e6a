"""What every task offers to the network, the training loop and the evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from branchpoint.config import TaskConfig

Summary = Mapping[str, np.ndarray]
"""Per-sample statistics of one task, each array (N, ...): enough to compute every metric of any subset.

Evaluation adds ``index`` (N,), the samples' positions in the cohort, and pooling over folds adds ``fold`` (N,)."""


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN where nothing is, without numpy's warning."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0.0).sum(-1) / defined.sum(-1)


def select(summary: Summary, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The samples ``rows`` (positions, or bool (N,)) of ``summary``."""
    return {name: values[rows] for name, values in summary.items()}


class Task(ABC):
    """A task's output, loss and metric; its target is ``config.target`` of the cohort.

    Attributes:
        config: the part of the Config that describes it.
        outputs: channels (dense tasks) or units (image-level tasks) of its head.
        gathers: its loss compares samples with each other, so it needs the outputs of all workers (Cox).
        primary_metric: key of :meth:`metrics` that ranks configurations; higher is better.
        chance: value of the primary metric that a model without knowledge gets.
    """

    outputs: int
    gathers: bool = False
    primary_metric: str
    chance: float

    def __init__(self, config: TaskConfig) -> None:
        self.config = config
        self.name = config.name

    @property
    def dense(self) -> bool:
        """Whether the task gives a map (and needs a decoder)."""
        return self.config.dense

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Scalar mean over labelled samples; zero that hangs on the graph where there is none.

        Args:
            logits: (B, outputs, [D,] H, W) for dense tasks, (B, outputs) else.
            target: as in :class:`branchpoint.datasets.batch.Batch`.
            labelled: bool (B,).
        """

    @abstractmethod
    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """Small per-sample statistics (B, ...) from which :meth:`metrics` follow; always has ``labelled``."""

    @abstractmethod
    def metrics(self, summary: Summary) -> dict[str, float]:
        """Metrics of the labelled samples in ``summary``; NaN where undefined, never a default."""

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics of R resamples of ``summary``, for bootstrap intervals.

        A subclass may compute them all at once, and may leave out metrics that are plain counts.

        Args:
            summary: N samples.
            counts: int (R, N), how often each resample holds each sample.

        Returns:
            Metric name to float (R,); NaN where a resample leaves the metric undefined.
        """
        rows = [self.metrics(select(summary, np.repeat(np.arange(len(row)), row))) for row in counts]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
