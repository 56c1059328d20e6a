"""Ordinal classification: one of several ordered classes per sample, such as a grade."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from branchpoint.config import OrdinalConfig
from branchpoint.tasks.base import EPSILON, Summary, Task, mean_of_defined, mean_over_labelled, ratio
from branchpoint.tasks.rates import sensitivity_and_specificity


class OrdinalTask(Task):
    """K ordered classes by the continuation-ratio model: sigmoid k is the probability of more than k, given at least k.

    P(class > k) is the product of the sigmoids up to k, so it never rises with k. The loss is the exact negative
    log-likelihood, which is also that of CORN (Shi, Cao and Raschka 2021). The answer is the number of k with
    P(class > k) above one half: the median.

    Metrics, NaN where a probability is not finite:

    - ``kappa``: Cohen's, with quadratic weights; 0 is chance, NaN where all answers and labels are one class.
    - ``balanced_accuracy``: as of classes without order.
    - ``mae``: mean absolute difference of ranks.
    """

    config_class = OrdinalConfig
    config: OrdinalConfig
    primary_metric = "kappa"
    chance = 0.0

    def __init__(self, config: OrdinalConfig) -> None:
        super().__init__(config)
        self.outputs = config.classes - 1

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean over labelled samples of -log P(class)."""
        step = torch.arange(self.outputs, device=logits.device)
        further = (target[:, None] > step).float()
        asked = target[:, None] >= step
        losses = F.binary_cross_entropy_with_logits(logits.float(), further, reduction="none")
        return mean_over_labelled(torch.where(asked, losses, 0.0).sum(1), labelled)

    def probabilities(self, logits: Tensor) -> Tensor:
        """P(class > k), (B, K - 1)."""
        return logits.float().sigmoid().cumprod(1)

    def logits(self, probabilities: Tensor) -> Tensor:
        """Log-odds of each step given the one before, (B, K - 1)."""
        before = F.pad(probabilities[:, :-1], (1, 0), value=1.0)
        return torch.logit(probabilities / before.clamp(min=torch.finfo(probabilities.dtype).tiny), EPSILON)

    def pseudo_labels(self, logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """The likeliest class int64 (B,), and where its probability reaches ``threshold``."""
        exceeds = F.pad(F.pad(self.probabilities(logits), (1, 0), value=1.0), (0, 1))
        largest, label = (exceeds[:, :-1] - exceeds[:, 1:]).max(1)
        return label, largest >= threshold

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """``exceeds``, P(class > k) (B, K - 1), ``label`` int64 (B,) and ``labelled`` (B,)."""
        return {"exceeds": logits.float().sigmoid().cumprod(1), "label": target, "labelled": labelled}

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        return self.metrics_at_once(summary)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics, for every resample at once."""
        weights = counts.astype(np.float64) * summary["labelled"]
        rank, classes = (summary["exceeds"] > 0.5).sum(1), np.arange(self.config.classes)
        answer, member = (ids[:, None] == classes for ids in (rank, summary["label"]))
        recall, _ = sensitivity_and_specificity(weights, answer, member)
        several = ((weights @ member) > 0).sum(1) >= 2
        total = weights.sum(1)
        distance = (classes[:, None] - classes[None, :]) ** 2.0
        observed = weights @ (rank - summary["label"]) ** 2.0
        expected = ratio((((weights @ answer) @ distance) * (weights @ member)).sum(1), total)
        values = {
            "kappa": np.where(expected > 0, 1 - ratio(observed, expected), np.nan),
            "balanced_accuracy": np.where(several, mean_of_defined(recall), np.nan),
            "mae": ratio(weights @ np.abs(rank - summary["label"]), total),
        }
        diverged = not np.isfinite(summary["exceeds"][summary["labelled"]]).all()
        return {name: np.full(len(counts), np.nan) if diverged else value for name, value in values.items()}
