"""Classification: one class per sample, weighted cross-entropy, balanced accuracy, AUC and accuracy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from branchpoint.config import ClassificationConfig
from branchpoint.tasks.base import Summary, Task, mean_of_defined


class ClassificationTask(Task):
    """One of K classes.

    Metrics, all NaN where a probability is not finite:

    - ``balanced_accuracy``: mean recall over the classes present; NaN where fewer than two are, for a constant
      answer would be perfect there.
    - ``auc``: area under the ROC curve of class 1 (K = 2), or the mean of one class against the rest over the classes
      for which it is defined (K > 2). Pairs within a fold alone where the summary has ``fold``: pooled over models,
      even a constant probability would have an AUC far from one half.
    - ``accuracy``.
    """

    config: ClassificationConfig
    primary_metric = "balanced_accuracy"

    def __init__(self, config: ClassificationConfig) -> None:
        super().__init__(config)
        self.outputs = config.classes
        self.chance = 1 / config.classes

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean over labelled samples of weight[class] * cross-entropy.

        Divided by the number of samples, not by the sum of their weights as ``torch.nn.CrossEntropyLoss`` does: the
        mean over workers then is that of the whole batch, and a small batch of one class keeps its weight.
        """
        weight = (
            logits.new_tensor(self.config.class_weights, dtype=torch.float32) if self.config.class_weights else None
        )
        losses = F.cross_entropy(logits.float(), target, weight=weight, reduction="none")
        return torch.where(labelled, losses, 0.0).sum() / labelled.sum().clamp(min=1)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """``probability`` (B, K), ``label`` int64 (B,) and ``labelled`` (B,)."""
        return {"probability": logits.float().softmax(1), "label": target, "labelled": labelled}

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        once = np.ones((1, len(summary["labelled"])))
        return {name: float(value[0]) for name, value in self.resampled(summary, once).items()}

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics, for every resample at once."""
        probability, label = summary["probability"], summary["label"]
        weights = counts.astype(np.float64) * summary["labelled"]
        if not np.isfinite(probability[summary["labelled"]]).all():
            return {name: np.full(len(counts), np.nan) for name in ("balanced_accuracy", "auc", "accuracy")}
        correct = probability.argmax(1) == label
        member = label[:, None] == np.arange(probability.shape[1])
        with np.errstate(invalid="ignore", divide="ignore"):
            total = weights @ member
            recall = (weights @ (member & correct[:, None])) / total
            accuracy = (weights @ correct) / weights.sum(1)
        balanced = np.where((total > 0).sum(1) >= 2, mean_of_defined(recall), np.nan)
        positives = [1] if probability.shape[1] == 2 else range(probability.shape[1])
        fold = summary.get("fold", np.zeros(len(label)))
        areas = [_areas(probability[:, k], member[:, k], weights, fold) for k in positives]
        return {"balanced_accuracy": balanced, "auc": mean_of_defined(np.stack(areas, -1)), "accuracy": accuracy}


def _areas(score: np.ndarray, positive: np.ndarray, weights: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of R weighted resamples, (R,): the share of pairs (positive, negative) of one fold in
    which the positive scores higher, ties counting one half."""
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for value in np.unique(fold):
        rows = np.flatnonzero(fold == value)
        _, rank = np.unique(score[rows], return_inverse=True)
        at_rank = (rank[:, None] == np.arange(rank.max() + 1)).astype(np.float64)
        positives = (weights[:, rows] * positive[rows]) @ at_rank
        negatives = (weights[:, rows] * ~positive[rows]) @ at_rank
        won += (positives * (negatives.cumsum(1) - 0.5 * negatives)).sum(1)
        pairs += positives.sum(1) * negatives.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return won / pairs
