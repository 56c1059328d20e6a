"""The weighted sum of task losses (Andrearczyk et al. 2021, L = w_rad Cox + w_seg Dice)."""

from __future__ import annotations

from collections.abc import Mapping

from branchpoint.balancing.base import Balancer, Step, collect_gradients
from branchpoint.config.balancing import WeightedSumConfig


class WeightedSum(Balancer):
    """Fixed weights; an absent task adds nothing and leaves the weights of the others alone."""

    config_class = WeightedSumConfig

    def __init__(self, task_weights: Mapping[str, float]) -> None:
        self._weights = dict(task_weights)

    @property
    def weights_ahead(self) -> Mapping[str, float]:
        return self._weights

    def backward(self, step: Step) -> None:
        """Gradient of the weighted sum, one backward pass and one reduction."""
        shares = [self._weights[name] * loss.share for name, loss in step.losses.items()]
        if shares:
            sum(shares[1:], start=shares[0]).backward()
        collect_gradients(step.network, step.add_up)

    def weights(self) -> Mapping[str, float]:
        """The fixed weights."""
        return dict(self._weights)
