"""Weights by homoscedastic uncertainty, learned with the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from branchpoint.balancing.base import Step
from branchpoint.balancing.loss_weighting import LossWeighting
from branchpoint.config.balancing import UncertaintyConfig


class Uncertainty(LossWeighting):
    """Sum of L_i / (2 sigma_i^2) + log sigma_i (Kendall et al. 2018, eq. 7), or of L_i / sigma_i^2 + log sigma_i.

    Learned is s = log sigma^2, one for each task: the weight is exp(-s) / 2 (or exp(-s)), and ds of the sum is
    1/2 - weight * L. The stationary point is sigma^2 = L (or 2 L), where the term is (1 + log L) / 2 (or
    (1 + log 2 L) / 2): for a loss below zero it would run to sigma = 0.

    Args:
        form: ``half`` for the first form, ``full`` for the second.
        log_variance: where s starts; 0 is sigma = 1.
        learning_rate: of s. At the network's, which is small and falls to 0, s would hardly leave its start.
    """

    config_class = UncertaintyConfig

    needs_positive = "sigma would run to 0 and the weight to infinity"

    @classmethod
    def of(cls, config: UncertaintyConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.form, config.log_variance, config.learning_rate)

    def __init__(
        self,
        task_weights: Mapping[str, float],
        form: Literal["half", "full"] = "half",
        log_variance: float = 0.0,
        learning_rate: float = 0.025,
    ) -> None:
        super().__init__(task_weights)
        self.learning_rate = learning_rate
        self.factor = 0.5 if form == "half" else 1.0
        self._names = list(task_weights)
        self.log_variances = nn.Parameter(torch.full((len(self._names),), log_variance))

    def attach(self, network: nn.Module) -> None:
        """Bring the variances to the network's device."""
        self.log_variances.data = self.log_variances.data.to(next(network.parameters()).device)

    def backward(self, step: Step) -> None:
        self.log_variances.grad = torch.zeros_like(self.log_variances)
        super().backward(step)

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        rows = torch.tensor([self._names.index(name) for name in names], device=values.device)
        weights = self.factor * (-self.log_variances.detach()[rows]).exp()
        # In closed form from the losses of all workers, so that it needs no reduction.
        assert self.log_variances.grad is not None
        self.log_variances.grad[rows] = (0.5 - weights * values).to(weights)
        return weights

    def parameters(self) -> Sequence[nn.Parameter]:
        """The log variances (N,)."""
        return (self.log_variances,)

    def state_dict(self) -> dict[str, Any]:
        return {"log_variances": self.log_variances.detach().clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            self.log_variances.copy_(state["log_variances"])
