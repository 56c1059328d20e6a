"""Methods that give each loss a weight: one backward pass of the weighted sum, one reduction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from branchpoint.balancing.base import Balancer, Step, collect_gradients
from branchpoint.config.balancing import GeometricMeanConfig, NormalizedSumConfig


class LossWeighting(Balancer):
    """A weight for each loss of a step, found from the values of the losses.

    The weights of the Config multiply the losses before the method sees them.

    Attributes:
        needs_positive: why losses below zero break the method; empty where they do not. Such a loss is refused.
    """

    needs_positive: ClassVar[str] = ""

    def __init__(self, task_weights: Mapping[str, float]) -> None:
        self._task_weights = dict(task_weights)
        self._last: dict[str, float | Tensor] = dict(task_weights)
        self._unchecked: tuple[list[str], Tensor] | None = None

    @abstractmethod
    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        """Weights (N,) of the losses of ``names`` with ``values`` (N,), N >= 1, off the graph."""

    def backward(self, step: Step) -> None:
        """Gradient of the weighted sum, one backward pass and one reduction.

        Raises:
            ValueError: a loss is negative where the method cannot have it.
        """
        names = list(step.losses)
        if names:
            scales = [self._task_weights[name] for name in names]
            values = torch.stack([step.losses[name].value * scale for name, scale in zip(names, scales, strict=True)])
            self._check_signs(names, values)
            weights = self.step_weights(names, values, step.epoch)
            shares = torch.stack([step.losses[name].share for name in names])
            own = weights * weights.new_tensor(scales)
            (own.detach() * shares).sum().backward()
            self._last.update(zip(names, own.detach().unbind(), strict=True))
        collect_gradients(step.network, step.add_up)

    def weights(self) -> Mapping[str, float | Tensor]:
        """Weight of each loss in the last step that had it, the Config's weight included."""
        return self._last

    def _check_signs(self, names: list[str], values: Tensor) -> None:
        """Of the step before, for looking at this one would stall a GPU; at the first step of this one."""
        if not self.needs_positive:
            return
        checked, signs = self._unchecked or (names, values)
        self._unchecked = names, values
        for name, value in zip(checked, signs.tolist(), strict=True):
            if value < 0:
                raise ValueError(
                    f"the loss of task {name!r} is {value:.6g}: {self.needs_positive}; use a loss that is bounded "
                    "below by 0, such as 1 - Dice for -Dice (the gradient is the same), or another method"
                )


class NormalizedSum(LossWeighting):
    """Each loss over its own size: w = 1 / mean of the loss so far, frozen after the first epoch.

    The honest baseline for adaptive methods: every loss starts near 1, and nothing is learned. Losses of exactly
    zero (a Cox loss where nobody is at risk) are left out of the mean; a loss not seen yet weighs 1.
    """

    config_class = NormalizedSumConfig

    needs_positive = "it is divided by its mean"

    def __init__(self, task_weights: Mapping[str, float]) -> None:
        super().__init__(task_weights)
        self._means = RunningMeans()

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        for name, value in zip(names, values.unbind(), strict=True):
            if epoch == 1 or self._means.mean(name) is None:
                self._means.add(name, value)
        return torch.stack(
            [
                1 / (1 if mean is None else mean) * torch.ones_like(value)
                for mean, value in zip(map(self._means.mean, names), values.unbind(), strict=True)
            ]
        )

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        return self._means.state_dict()

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        self._means.load_state_dict(state)


class GeometricMean(LossWeighting):
    """GLS: the geometric mean of the losses (Chennupati et al. 2019, eq. 3), of those that are present.

    Its gradient is that of the sum with weights w_i = (prod L)^(1/N) / (N L_i). A loss of exactly zero would take all
    gradient from the others: it is left out of the mean and weighs 0.
    """

    config_class = GeometricMeanConfig

    needs_positive = "the geometric mean takes its logarithm"

    def step_weights(self, names: Sequence[str], values: Tensor, epoch: int) -> Tensor:
        positive = values > 0
        count = positive.sum().clamp(min=1)
        safe = torch.where(positive, values, 1)
        mean = (safe.log().sum() / count).exp()
        return torch.where(positive, mean / (count * safe), 0)


class RunningMeans:
    """Mean of the positive values of each task."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Take in a scalar ``value`` of the task ``name``."""
        self._sums[name] = self._sums.get(name, 0) + value.clamp(min=0)
        self._counts[name] = self._counts.get(name, 0) + (value > 0)

    def mean(self, name: str) -> Tensor | None:
        """Mean of a task, scalar; 1 where all its values were zero, ``None`` where it has none."""
        if name not in self._sums:
            return None
        return torch.where(self._counts[name] > 0, self._sums[name] / self._counts[name].clamp(min=1), 1)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Sums and counts."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
