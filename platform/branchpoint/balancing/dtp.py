"""Dynamic task prioritisation: tasks that are done badly weigh more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from branchpoint.balancing.loss_weighting import LossWeighting
from branchpoint.config.balancing import DynamicTaskPrioritizationConfig

SMALLEST_PERFORMANCE = 1e-3
"""Performances are kept this far from 0 and 1, where the weight is infinite or zero."""


class DynamicTaskPrioritization(LossWeighting):
    """w_i = -(1 - k_i)^gamma log k_i, k_i the moving average of a task's performance (Guo et al. 2018, eq. 2 to 4).

    The performance is the primary metric (Dice, C-index, balanced accuracy, ...) on the training samples, as they were
    seen during an epoch; the next epoch is weighted by it. A task without a defined performance so far weighs 1.

    Args:
        gamma: focuses on hard tasks.
        smoothing: weight of the newest performance in the moving average.
    """

    config_class = DynamicTaskPrioritizationConfig

    watches_performance = True

    @classmethod
    def of(cls, config: DynamicTaskPrioritizationConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.gamma, config.smoothing)

    def __init__(self, task_weights: Mapping[str, float], gamma: float = 1.0, smoothing: float = 0.5) -> None:
        super().__init__(task_weights)
        self.gamma, self.smoothing = gamma, smoothing
        self._performance: dict[str, float] = {}

    def watch_performance(self, performance: Mapping[str, float]) -> None:
        """Take in the performances of an epoch.

        Raises:
            ValueError: one lies outside of [0, 1].
        """
        for name, value in performance.items():
            if math.isnan(value):
                continue
            if not 0 <= value <= 1:
                raise ValueError(
                    f"the primary metric of task {name!r} is {value:.6g}: dtp weighs by performances from 0 (worst) "
                    "to 1 (best); choose another method for tasks that are measured otherwise"
                )
            before = self._performance.get(name, value)
            self._performance[name] = self.smoothing * value + (1 - self.smoothing) * before

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        return torch.tensor([self._weight(name) for name in names]).to(values)

    def _weight(self, name: str) -> float:
        if name not in self._performance:
            return 1.0
        kpi = min(max(self._performance[name], SMALLEST_PERFORMANCE), 1 - SMALLEST_PERFORMANCE)
        return -((1 - kpi) ** self.gamma) * math.log(kpi)

    def state_dict(self) -> dict[str, float]:
        return dict(self._performance)

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self._performance = dict(state)
