"""Classification: one class per sample, weighted cross-entropy, balanced accuracy, AUC and accuracy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from branchpoint.config import ClassificationConfig
from branchpoint.tasks.base import Summary, Task, mean_of_defined, mean_over_labelled, ratio
from branchpoint.tasks.rates import mean_area, micro_rates, sensitivity_and_specificity


class ClassificationTask(Task):
    """One of K classes.

    Metrics, all NaN where a probability is not finite:

    - ``balanced_accuracy``: mean recall over the classes present; NaN where fewer than two are, for a constant
      answer would be perfect there.
    - ``auc``: area under the ROC curve of class 1 (K = 2), or the mean of one class against the rest over the classes
      for which it is defined (K > 2). Pairs within a fold alone where the summary has ``fold``: pooled over models,
      even a constant probability would have an AUC far from one half.
    - ``accuracy``.
    - ``micro_accuracy``, ``micro_sensitivity``, ``micro_specificity`` of Bui et al. 2024, one class against the rest.
    - ``sensitivity`` and ``specificity`` of class 1 (K = 2).
    """

    config_class = ClassificationConfig
    config: ClassificationConfig
    primary_metric = "balanced_accuracy"

    def __init__(self, config: ClassificationConfig) -> None:
        super().__init__(config)
        self.outputs = config.classes
        self.chance = 1 / config.classes

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean over labelled samples of weight[class] * cross-entropy, its targets smoothed where the Config says so.

        Divided by the number of samples, not by the sum of their weights as ``torch.nn.CrossEntropyLoss`` does: the
        mean over workers then is that of the whole batch, and a small batch of one class keeps its weight.
        """
        weight = (
            logits.new_tensor(self.config.class_weights, dtype=torch.float32) if self.config.class_weights else None
        )
        smoothing = self.config.label_smoothing
        losses = F.cross_entropy(logits.float(), target, weight=weight, reduction="none", label_smoothing=smoothing)
        return mean_over_labelled(losses, labelled)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax (B, K)."""
        return logits.float().softmax(1)

    def pseudo_labels(self, logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """The likeliest class int64 (B,), and where its probability reaches ``threshold``."""
        largest, label = self.probabilities(logits).max(1)
        return label, largest >= threshold

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """``probability`` (B, K), ``label`` int64 (B,) and ``labelled`` (B,)."""
        return {"probability": logits.float().softmax(1), "label": target, "labelled": labelled}

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        return self.metrics_at_once(summary)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics, for every resample at once."""
        probability, label = summary["probability"], summary["label"]
        weights = counts.astype(np.float64) * summary["labelled"]
        classes = probability.shape[1]
        answer, member = (ids[:, None] == np.arange(classes) for ids in (probability.argmax(1), label))
        recall, specificity = sensitivity_and_specificity(weights, answer, member)
        several = ((weights @ member) > 0).sum(1) >= 2
        positives = [1] if classes == 2 else list(range(classes))
        values = {
            "balanced_accuracy": np.where(several, mean_of_defined(recall), np.nan),
            "auc": mean_area(probability[:, positives], member[:, positives], weights, summary.get("fold")),
            "accuracy": ratio(weights @ (answer & member).any(1), weights.sum(1)),
            **micro_rates(weights, answer, member),
        }
        if classes == 2:
            values |= {"sensitivity": recall[:, 1], "specificity": specificity[:, 1]}
        diverged = not np.isfinite(probability[summary["labelled"]]).all()
        return {name: np.full(len(counts), np.nan) if diverged else value for name, value in values.items()}
