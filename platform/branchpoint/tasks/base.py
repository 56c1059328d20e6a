"""What every task offers to the network, the training loop and the evaluation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import TaskConfig
from branchpoint.datasets.batch import Batch

Summary = Mapping[str, np.ndarray]
"""Per-sample statistics of one task, each array (N, ...): enough to compute every metric of any subset.

Evaluation adds ``index`` (N,), the samples' positions in the cohort, and pooling over folds adds ``fold`` (N,)."""


EPSILON = 1e-7
"""Probabilities are this far from 0 and 1 where their log-odds are taken."""
SHARES = (
    "dice",
    "ji",
    "miou",
    "surface_dice",
    "lesion_f1",
    "image_specificity",
    "c_index",
    "auc",
    "balanced_accuracy",
    "accuracy",
    "micro_",
    "sensitivity",
    "specificity",
)
"""Beginnings of the names of metrics that range from 0 to 1."""


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN where nothing is, without numpy's warning."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0.0).sum(-1) / defined.sum(-1)


def select(summary: Summary, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The samples ``rows`` (positions, or bool (N,)) of ``summary``."""
    return {name: values[rows] for name, values in summary.items()}


def mean_over_labelled(losses: Tensor, labelled: Tensor) -> Tensor:
    """Mean of ``losses`` (B,) over ``labelled`` samples; a zero that hangs on the graph where there is none."""
    return torch.where(labelled, losses, 0.0).sum() / labelled.sum().clamp(min=1)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN (or infinity) where the denominator is 0, without numpy's warning."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return numerator / denominator


def explained_share(explained: float) -> float:
    """``explained`` / (2 - ``explained``), and 0 where that is negative: 0 is what the mean gets, 1 is perfect.

    It is the normalised Nash-Sutcliffe efficiency 1 / (2 - ``explained``) (Nossent and Bauwens 2012), corrected for
    chance. Shares of explained variance have no lower bound: one bad answer would outweigh all that other tasks do in a
    mean.
    """
    return max(explained / (2 - explained), 0.0)


class Task(ABC):
    """A task's target, output, loss and metric.

    A new kind is a subclass with a ``config_class`` of its own, in :data:`branchpoint.tasks.TASKS` or named by an
    entry point of ``branchpoint.tasks``.

    Attributes:
        config_class: class of its Config; its ``kind`` names the task.
        config: the part of the Config that describes it.
        outputs: channels (dense tasks) or units (image-level tasks) of its head.
        primary_metric: key of :meth:`metrics` that ranks configurations; higher is better.
        chance: value of the primary metric that a model without knowledge gets.
    """

    config_class: ClassVar[type[TaskConfig]]
    outputs: int
    primary_metric: str
    chance: float

    def __init__(self, config: TaskConfig) -> None:
        self.config = config
        self.name = config.name

    @property
    def gathers(self) -> bool:
        """Whether its loss compares samples with each other, so that it needs the outputs of all workers (Cox)."""
        return self.config.compares_samples

    @property
    def restores_image(self) -> bool:
        """Whether its target is the image before its random changes of intensity, which training then keeps."""
        return False

    @property
    def dense(self) -> bool:
        """Whether the task gives a map (and needs a decoder)."""
        return self.config.dense

    def target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is to be predicted, as :meth:`loss` takes it, and bool (B,), for which samples it is known.

        Here the cohort's label ``config.target``. Others compute it from the (augmented) image.
        """
        return batch.targets[self.config.target], batch.labelled[self.config.target]

    def known(self, labelled: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """bool (count,): for which samples :meth:`target` is known, from the labels ``labelled`` of them alone."""
        return labelled[self.config.target]

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Scalar mean over labelled samples; zero that hangs on the graph where there is none.

        Args:
            logits: (B, outputs, [D,] H, W) for dense tasks, (B, outputs) else.
            target: as in :class:`branchpoint.datasets.batch.Batch`.
            labelled: bool (B,).
        """

    def probabilities(self, logits: Tensor) -> Tensor | None:
        """What two networks can agree on, float32 (B, ...) in [0, 1]; ``None`` where the output is no probability."""
        return None

    def logits(self, probabilities: Tensor) -> Tensor:
        """Logits, shaped as ``probabilities``, of which :meth:`probabilities` gives these: logarithms for classes.

        Only for tasks whose output is a probability.
        """
        return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()

    def pseudo_labels(self, logits: Tensor, threshold: float) -> tuple[Tensor, Tensor] | None:
        """A target made of a teacher's ``logits``, and bool (B,), for which samples it is as sure as ``threshold``.

        ``None`` where the output is no probability.
        """
        return None

    def share(self, value: float) -> float:
        """``value`` of the primary metric corrected for chance: (value - chance) / (1 - chance), at least 0.

        What a model without knowledge gets (Dice 0, C-index 0.5, balanced accuracy 1 / K, kappa 0) counts 0, a perfect
        one 1; never less for a better value.
        """
        return max((value - self.chance) / (1 - self.chance), 0.0)

    def entered(self, summary: Summary, metric: str) -> int:
        """How many of the labelled samples ``metric`` rests on."""
        return int(summary["labelled"].sum())

    def bounds(self, metric: str) -> tuple[float, float]:
        """Range of ``metric``, beyond which no interval reaches."""
        return (0.0, 1.0) if metric.startswith(SHARES) else (-math.inf, math.inf)

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

    def metrics_at_once(self, summary: Summary) -> dict[str, float]:
        """:meth:`metrics` by way of :meth:`resampled`, for tasks that compute it for all resamples at once."""
        once = np.ones((1, len(summary["labelled"])), dtype=np.int64)
        return {name: float(value[0]) for name, value in self.resampled(summary, once).items()}


class ComputedTarget(Task):
    """A task whose target follows from the image: every image has it, labelled or not."""

    def known(self, labelled: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        return np.ones(count, dtype=bool)
