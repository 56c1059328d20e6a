"""Weights that are learned with the network, each from the size of its own loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from branchpoint.balancing.base import Step
from branchpoint.balancing.loss_weighting import LossWeighting
from branchpoint.config.balancing import IMTLLConfig, UncertaintyConfig


class LearnedScales(LossWeighting):
    """A logarithm for each task, learned with the network, from which the weight of the task's loss follows.

    Args:
        start: of the logarithms.
        learning_rate: of the logarithms. At the network's, which is small and falls to 0, they would hardly move.
    """

    def __init__(self, task_weights: Mapping[str, float], start: float, learning_rate: float) -> None:
        super().__init__(task_weights)
        self.learning_rate = learning_rate
        self._names = list(task_weights)
        self.logarithms = nn.Parameter(torch.full((len(self._names),), start))

    @abstractmethod
    def weights_and_slopes(self, logarithms: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the losses ``values`` (N,), and the derivatives of the objective in the logarithms (N,)."""

    def attach(self, network: nn.Module) -> None:
        """Bring the logarithms to the network's device."""
        self.logarithms.data = self.logarithms.data.to(next(network.parameters()).device)

    def backward(self, step: Step) -> None:
        self.logarithms.grad = torch.zeros_like(self.logarithms)
        super().backward(step)

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        rows = torch.tensor([self._names.index(name) for name in names], device=values.device)
        # In closed form from the losses of all workers, so that it needs no reduction.
        weights, slopes = self.weights_and_slopes(self.logarithms.detach()[rows], values)
        assert self.logarithms.grad is not None
        self.logarithms.grad[rows] = slopes.to(weights)
        return weights

    def parameters(self) -> Sequence[nn.Parameter]:
        """The logarithms (N,)."""
        return (self.logarithms,)

    def state_dict(self) -> dict[str, Any]:
        return {"logarithms": self.logarithms.detach().clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            self.logarithms.copy_(state["logarithms"])


class Uncertainty(LearnedScales):
    """Sum of L_i / (2 sigma_i^2) + log sigma_i (Kendall et al. 2018, eq. 7), or of L_i / sigma_i^2 + log sigma_i.

    Learned is s = log sigma^2, one for each task: the weight is exp(-s) / 2 (or exp(-s)), and ds of the sum is
    1/2 - weight * L. The stationary point is sigma^2 = L (or 2 L), where the term is (1 + log L) / 2 (or
    (1 + log 2 L) / 2): for a loss below zero it would run to sigma = 0.

    Args:
        form: ``half`` for the first form, ``full`` for the second.
        log_variance: where s starts; 0 is sigma = 1.
        learning_rate: of s.
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
        super().__init__(task_weights, log_variance, learning_rate)
        self.factor = 0.5 if form == "half" else 1.0

    def weights_and_slopes(self, logarithms: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.factor * (-logarithms).exp()
        return weights, 0.5 - weights * values


class ImpartialLoss(LearnedScales):
    """IMTL-L: the sum of e^(s_i) L_i - s_i (Liu et al. 2021, "Towards impartial multi-task learning", eq. 7).

    At the stationary point the weight e^(s_i) is 1 / L_i: all weighted losses are 1, whatever their units.

    Args:
        learning_rate: of s, which starts at 0.
    """

    config_class = IMTLLConfig

    needs_positive = "its scale would run to infinity"

    @classmethod
    def of(cls, config: IMTLLConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.learning_rate)

    def __init__(self, task_weights: Mapping[str, float], learning_rate: float = 0.025) -> None:
        super().__init__(task_weights, 0.0, learning_rate)

    def weights_and_slopes(self, logarithms: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        weights = logarithms.exp()
        return weights, weights * values - 1
