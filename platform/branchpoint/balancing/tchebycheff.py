"""Smooth Tchebycheff scalarization: the task that lags most is served most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from branchpoint.balancing.loss_weighting import LossWeighting, RunningMeans
from branchpoint.config.balancing import SmoothTchebycheffConfig


class SmoothTchebycheff(LossWeighting):
    """STCH: N mu log sum exp(log(L_i / r_i) / mu), a smooth maximum (Lin et al. 2024, eq. 8) of relative losses.

    As its authors use it for networks: in the first epochs the sum of log L_i is descended, and r_i is the mean loss of
    task i in the last of these. The weights are N softmax(log(L / r) / mu)_i / L_i, and 1 / L_i before, over the N
    tasks that are present. A loss of exactly zero weighs 0.

    Args:
        mu: smoothing; the smaller, the closer to the maximum.
        warm_up_epochs: at least 1.
    """

    config_class = SmoothTchebycheffConfig

    needs_positive = "the method takes its logarithm"

    @classmethod
    def of(cls, config: SmoothTchebycheffConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.mu, config.warm_up_epochs)

    def __init__(self, task_weights: Mapping[str, float], mu: float = 1.0, warm_up_epochs: int = 4) -> None:
        super().__init__(task_weights)
        self.mu, self.warm_up_epochs = mu, warm_up_epochs
        self._references = RunningMeans()

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        positive = values > 0
        safe = torch.where(positive, values, 1)
        if epoch < self.warm_up_epochs:
            return torch.where(positive, 1 / safe, 0)
        for name, value in zip(names, values.unbind(), strict=True):
            if epoch == self.warm_up_epochs or self._references.mean(name) is None:
                self._references.add(name, value)
        if epoch == self.warm_up_epochs:
            return torch.where(positive, 1 / safe, 0)
        references = torch.stack([mean.to(values) for mean in map(self._references.mean, names) if mean is not None])
        ratios = torch.where(positive, (safe / references).log() / self.mu, -torch.inf)
        shares = torch.where(positive, ratios.softmax(0), 0)
        return positive.sum() * shares / safe

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        return self._references.state_dict()

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        self._references.load_state_dict(state)
