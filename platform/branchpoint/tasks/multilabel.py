"""Multi-label classification: several labels per sample, each there or not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from branchpoint.config import MultilabelConfig
from branchpoint.datasets.batch import Batch
from branchpoint.tasks.base import EPSILON, Summary, Task, mean_of_defined, mean_over_labelled
from branchpoint.tasks.rates import mean_area, micro_rates, sensitivity_and_specificity


class MultilabelTask(Task):
    """K labels, a sigmoid each; a label is predicted where its probability exceeds 0.5.

    Metrics, all NaN where a probability is not finite:

    - ``balanced_accuracy``: (sensitivity + specificity) / 2 of each label, then the mean over labels with both.
    - ``auc``: mean over labels of the area under the ROC curve, within folds alone.
    - ``micro_accuracy``, ``micro_sensitivity``, ``micro_specificity``: Bui et al. 2024.
    """

    config_class = MultilabelConfig
    config: MultilabelConfig
    primary_metric = "balanced_accuracy"
    chance = 0.5

    def __init__(self, config: MultilabelConfig) -> None:
        super().__init__(config)
        self.outputs = config.labels

    def target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """float32 (B, K); a class per sample becomes one label for each class."""
        values, labelled = super().target(batch)
        return (F.one_hot(values, self.outputs).float() if values.ndim == 1 else values), labelled

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean over labels and labelled samples of the binary cross-entropy, weighted where a label is there."""
        weights = self.config.positive_weights
        losses = F.binary_cross_entropy_with_logits(
            logits.float(),
            target,
            reduction="none",
            pos_weight=logits.new_tensor(weights, dtype=torch.float32) if weights else None,
        )
        return mean_over_labelled(losses.mean(1), labelled)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoids (B, K)."""
        return logits.float().sigmoid()

    def logits(self, probabilities: Tensor) -> Tensor:
        """Log-odds (B, K)."""
        return torch.logit(probabilities, EPSILON)

    def pseudo_labels(self, logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """Labels float32 (B, K), and where all of them are as sure as ``threshold``."""
        probability = self.probabilities(logits)
        sure = torch.maximum(probability, 1 - probability) >= threshold
        return (probability > 0.5).float(), sure.all(1)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """``probability`` and ``label`` (B, K), ``labelled`` (B,)."""
        return {"probability": logits.float().sigmoid(), "label": target > 0.5, "labelled": labelled}

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        return self.metrics_at_once(summary)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics, for every resample at once."""
        probability, label = summary["probability"], summary["label"].astype(bool)
        weights = counts.astype(np.float64) * summary["labelled"]
        predicted = probability > 0.5
        sensitivity, specificity = sensitivity_and_specificity(weights, predicted, label)
        values = {
            "balanced_accuracy": mean_of_defined((sensitivity + specificity) / 2),
            "auc": mean_area(probability, label, weights, summary.get("fold")),
            **micro_rates(weights, predicted, label),
        }
        diverged = not np.isfinite(probability[summary["labelled"]]).all()
        return {name: np.full(len(counts), np.nan) if diverged else value for name, value in values.items()}
