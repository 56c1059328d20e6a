"""What every task offers to the network, the training loop and the evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from branchpoint.config import TaskConfig

Summary = Mapping[str, np.ndarray]
"""Per-sample statistics of one task, each array (N, ...): enough to compute every metric of any subset."""


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
