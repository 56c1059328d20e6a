"""How task losses or gradients are combined: ``build_balancer`` makes what ``BalancingConfig`` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from branchpoint.balancing.base import Balancer, Step, TaskLoss, collect_gradients
from branchpoint.balancing.dtp import DynamicTaskPrioritization
from branchpoint.balancing.dwa import DynamicWeightAverage
from branchpoint.balancing.famo import FAMO
from branchpoint.balancing.gradnorm import GradNorm
from branchpoint.balancing.loss_weighting import GeometricMean, NormalizedSum
from branchpoint.balancing.random_weights import RandomDirichlet, RandomLossWeighting
from branchpoint.balancing.uncertainty import Uncertainty
from branchpoint.balancing.weighted_sum import WeightedSum
from branchpoint.config import BalancingConfig

__all__ = ["Balancer", "Step", "TaskLoss", "WeightedSum", "build_balancer", "collect_gradients"]


def build_balancer(config: BalancingConfig, task_weights: Mapping[str, float], seed: int = 0) -> Balancer:
    """The balancer of ``config`` for the trained tasks and their weights.

    Args:
        seed: of the methods that draw; the same on every worker.

    Raises:
        ValueError: no balancer bears that name.
        ModuleNotFoundError: it needs packages of the extra ``balancing``.
    """
    if config.method in _OF_LOSSES:
        return _OF_LOSSES[config.method](config, task_weights, seed)
    if config.of_gradients:
        return _of_gradients(config, task_weights, seed)
    raise ValueError(f"balancing.method is {config.method!r}: known are {', '.join(map(repr, _OF_LOSSES))}")


def _of_gradients(config: BalancingConfig, task_weights: Mapping[str, float], seed: int) -> Balancer:
    from branchpoint.balancing.combinations import build_combination
    from branchpoint.balancing.feature_combination import FeatureCombination
    from branchpoint.balancing.gradient_combination import GradientCombination

    kind = FeatureCombination if config.gradients == "features" else GradientCombination
    return kind(build_combination(config), task_weights, seed)


_Build = Callable[[BalancingConfig, Mapping[str, float], int], Balancer]
_OF_LOSSES: Mapping[str, _Build] = {
    "sum": lambda config, weights, seed: WeightedSum(weights),
    "normalized_sum": lambda config, weights, seed: NormalizedSum(weights),
    "uncertainty": lambda c, weights, seed: Uncertainty(weights, c.form or "half", c.number("log_variance")),
    "dirichlet": lambda c, weights, seed: RandomDirichlet(weights, seed, c.draws or 0, c.number("concentration")),
    "rlw": lambda config, weights, seed: RandomLossWeighting(weights, seed),
    "gls": lambda config, weights, seed: GeometricMean(weights),
    "dwa": lambda c, weights, seed: DynamicWeightAverage(weights, c.number("temperature")),
    "gradnorm": lambda c, weights, seed: GradNorm(weights, c.number("alpha")),
    "dtp": lambda c, weights, seed: DynamicTaskPrioritization(weights, c.number("gamma"), c.number("smoothing")),
    "famo": lambda c, weights, seed: FAMO(weights, c.number("learning_rate"), c.number("weight_decay")),
}
