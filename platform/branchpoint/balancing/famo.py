"""FAMO: fast adaptive multitask optimisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from branchpoint.balancing.loss_weighting import LossWeighting
from branchpoint.config.balancing import FAMOConfig

EPSILON = 1e-8


class FAMO(LossWeighting):
    """Decreases the logarithms of all losses at a balanced rate in amortised constant cost (Liu et al. 2023, alg. 1).

    The weights are c z_i / L_i with z = softmax(xi) over the tasks that are present and c = 1 / sum(z_i / L_i): they
    add up to 1. After the optimiser's step the losses of the same batch are looked at again, and xi takes a step of
    Adam along the softmax's Jacobian times log L_before - log L_after.

    Args:
        learning_rate: of xi.
        weight_decay: of xi: part of the method, which forgets old steps by it.
    """

    config_class = FAMOConfig

    needs_positive = "famo descends its logarithm"
    looks_again = True

    @classmethod
    def of(cls, config: FAMOConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.learning_rate, config.weight_decay)

    def __init__(
        self, task_weights: Mapping[str, float], learning_rate: float = 0.025, weight_decay: float = 1e-3
    ) -> None:
        super().__init__(task_weights)
        self._names = list(task_weights)
        self.logits = nn.Parameter(torch.zeros(len(self._names)))
        self._adam = torch.optim.Adam([self.logits], lr=learning_rate, weight_decay=weight_decay)
        self._before: dict[str, Tensor] = {}

    def attach(self, network: nn.Module) -> None:
        """Bring the logits to the network's device."""
        self.logits.data = self.logits.data.to(next(network.parameters()).device)

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        self._before = dict(zip(names, values.unbind(), strict=True))
        ratios = self.logits.detach()[self._rows(names)].softmax(0) / (values + EPSILON)
        return ratios / ratios.sum()

    def look_again(self, values: Mapping[str, Tensor]) -> None:
        """The step of xi, for the tasks that the step had."""
        names = [name for name in self._before if name in values]
        if not names:
            return
        before = torch.stack([self._before[name] for name in names])
        after = torch.stack([values[name] * self._task_weights[name] for name in names])
        progress = (before + EPSILON).log() - (after + EPSILON).log()
        shares = self.logits.detach()[self._rows(names)].softmax(0)
        gradient = torch.zeros_like(self.logits)
        gradient[self._rows(names)] = (shares * (progress - (shares * progress).sum())).to(gradient)
        self.logits.grad = gradient
        self._adam.step()
        self.logits.grad = None

    def _rows(self, names: Sequence[str]) -> Tensor:
        return torch.tensor([self._names.index(name) for name in names], device=self.logits.device)

    def state_dict(self) -> dict[str, Any]:
        return {"logits": self.logits.detach().clone(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            self.logits.copy_(state["logits"])
        self._adam.load_state_dict(state["adam"])
