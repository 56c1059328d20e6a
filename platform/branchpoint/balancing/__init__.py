"""How task losses or gradients are combined: ``build_balancer`` makes what ``BalancingConfig`` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from branchpoint.balancing.base import Balancer, Step, TaskLoss, collect_gradients
from branchpoint.balancing.weighted_sum import WeightedSum
from branchpoint.config import BalancingConfig

__all__ = ["Balancer", "Step", "TaskLoss", "WeightedSum", "build_balancer", "collect_gradients"]

_BALANCERS: Mapping[str, Callable[[BalancingConfig, Mapping[str, float]], Balancer]] = {
    "sum": lambda config, weights: WeightedSum(weights),
}


def build_balancer(config: BalancingConfig, task_weights: Mapping[str, float]) -> Balancer:
    """The balancer of ``config`` for the trained tasks and their weights.

    Raises:
        ValueError: no balancer bears that name.
    """
    if config.method not in _BALANCERS:
        raise ValueError(f"balancing.method is {config.method!r}: known are {', '.join(map(repr, _BALANCERS))}")
    return _BALANCERS[config.method](config, task_weights)
