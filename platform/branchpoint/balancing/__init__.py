"""How task losses or gradients are combined: ``build_balancer`` makes what ``config.balancing`` names."""

from __future__ import annotations

from collections.abc import Mapping

from branchpoint.balancing.base import Balancer, Step, TaskLoss, collect_gradients
from branchpoint.balancing.dtp import DynamicTaskPrioritization
from branchpoint.balancing.dwa import DynamicWeightAverage
from branchpoint.balancing.elementwise import ExcessMTL, GradDrop
from branchpoint.balancing.famo import FAMO
from branchpoint.balancing.feature_combination import FeatureCombination
from branchpoint.balancing.gradient_combination import GradientCombination
from branchpoint.balancing.gradnorm import GradNorm
from branchpoint.balancing.learned_scales import ImpartialLoss, Uncertainty
from branchpoint.balancing.loss_weighting import GeometricMean, NormalizedSum
from branchpoint.balancing.random_weights import RandomDirichlet, RandomLossWeighting
from branchpoint.balancing.tchebycheff import SmoothTchebycheff
from branchpoint.balancing.weighted_sum import WeightedSum
from branchpoint.config import BalancingConfig
from branchpoint.config.balancing import GRAMIAN_METHODS
from branchpoint.values import look_up

__all__ = ["BALANCERS", "Balancer", "Step", "TaskLoss", "WeightedSum", "build_balancer", "collect_gradients"]

BALANCERS: dict[str, type[Balancer]] = {
    **{
        balancer.config_class.method: balancer
        for balancer in (
            WeightedSum,
            NormalizedSum,
            Uncertainty,
            ImpartialLoss,
            SmoothTchebycheff,
            RandomDirichlet,
            RandomLossWeighting,
            GeometricMean,
            DynamicWeightAverage,
            GradNorm,
            DynamicTaskPrioritization,
            FAMO,
            GradDrop,
            ExcessMTL,
        )
    },
    **dict.fromkeys(GRAMIAN_METHODS, GradientCombination),
}
"""Method to balancer; the entry points ``branchpoint.balancers`` of other packages add theirs."""


def build_balancer(config: BalancingConfig, task_weights: Mapping[str, float], seed: int = 0) -> Balancer:
    """The balancer of ``config`` for the trained tasks and their weights.

    Args:
        config: method and options.
        task_weights: name of each trained task to its weight.
        seed: of the methods that draw; the same on every worker.

    Raises:
        ValueError: no balancer bears that name.
        ModuleNotFoundError: it needs packages of the extra ``balancing``.

    Example:
        >>> from branchpoint.config import balancing_config
        >>> balancer = build_balancer(balancing_config("gls"), {"tumour": 1.0, "survival": 0.5})
        >>> type(balancer).__name__
        'GeometricMean'
    """
    balancer = look_up(BALANCERS, config.method, "balancing.method", "branchpoint.balancers")
    if balancer is GradientCombination and config.of_features:
        balancer = FeatureCombination
    return balancer.of(config, task_weights, seed)
