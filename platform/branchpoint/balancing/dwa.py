"""Dynamic weight average: tasks whose loss falls slowly weigh more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from branchpoint.balancing.loss_weighting import LossWeighting, RunningMeans
from branchpoint.config.balancing import DynamicWeightAverageConfig


class DynamicWeightAverage(LossWeighting):
    """w_i = N softmax_i(r_i / T), r_i the ratio of a loss's means over the last two epochs (Liu et al. 2019, eq. 7).

    N tasks have two epochs behind them in which they had a loss; the others, and all tasks in the first two epochs,
    weigh 1.

    Args:
        temperature: T; the larger, the more even.
    """

    config_class = DynamicWeightAverageConfig

    needs_positive = "the ratio of two negative or mixed losses says nothing about progress"

    @classmethod
    def of(cls, config: DynamicWeightAverageConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.temperature)

    def __init__(self, task_weights: Mapping[str, float], temperature: float = 2.0) -> None:
        super().__init__(task_weights)
        self.temperature = temperature
        self._epoch = 0
        self._means = RunningMeans()
        self._past: dict[str, list[Tensor]] = {}

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._end_epoch()
            self._epoch = epoch
        for name, value in zip(names, values.unbind(), strict=True):
            self._means.add(name, value)
        return torch.stack([torch.as_tensor(weight).to(values) for weight in self._epoch_weights(names)])

    def _epoch_weights(self, names: Sequence[str]) -> list[float | Tensor]:
        known = [name for name in self._task_weights if len(self._past.get(name, ())) == 2]
        if not known:
            return [1.0] * len(names)
        ratios = torch.stack([self._past[name][1] / self._past[name][0] for name in known])
        weights = dict(zip(known, len(known) * (ratios / self.temperature).softmax(0), strict=True))
        return [weights.get(name, 1.0) for name in names]

    def _end_epoch(self) -> None:
        for name in self._task_weights:
            mean = self._means.mean(name)
            if mean is not None:
                self._past[name] = [*self._past.get(name, [])[-1:], mean]
        self._means = RunningMeans()

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "means": self._means.state_dict(), "past": dict(self._past)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._epoch = state["epoch"]
        self._means.load_state_dict(state["means"])
        self._past = {name: list(values) for name, values in state["past"].items()}
