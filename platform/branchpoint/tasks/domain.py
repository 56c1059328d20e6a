"""Domain-adversarial task: where an image was made, learned against the network (Ganin et al. 2016)."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from branchpoint.config import DomainConfig
from branchpoint.tasks.base import Summary, Task, mean_of_defined, mean_over_labelled, ratio
from branchpoint.tasks.rates import sensitivity_and_specificity


class DomainTask(Task):
    """One of the centres of the Config. The head learns to tell them; the network reverses its gradient.

    Metrics: ``balanced_accuracy`` and ``accuracy`` of the head. Near chance means that features say little of the
    centre to this head; another classifier might still find it there.
    """

    config_class = DomainConfig
    config: DomainConfig
    primary_metric = "balanced_accuracy"

    def __init__(self, config: DomainConfig) -> None:
        super().__init__(config)
        self.outputs = len(config.domains)
        self.chance = 1 / self.outputs

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean cross-entropy over samples of a known centre."""
        return mean_over_labelled(F.cross_entropy(logits.float(), target, reduction="none"), labelled)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """``answer`` and ``label`` int64 (B,), ``labelled`` (B,)."""
        return {"answer": logits.argmax(1), "label": target, "labelled": labelled}

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        return self.metrics_at_once(summary)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Both metrics, for every resample at once."""
        weights = counts.astype(np.float64) * summary["labelled"]
        answer, member = (summary[name][:, None] == np.arange(self.outputs) for name in ("answer", "label"))
        recall, _ = sensitivity_and_specificity(weights, answer, member)
        several = ((weights @ member) > 0).sum(1) >= 2
        return {
            "balanced_accuracy": np.where(several, mean_of_defined(recall), np.nan),
            "accuracy": ratio(weights @ (answer & member).any(1), weights.sum(1)),
        }
