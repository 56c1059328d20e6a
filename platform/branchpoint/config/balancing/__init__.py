"""How task losses or gradients are combined: one class of options for each method. Standard library only.

:mod:`branchpoint.balancing` builds what they name.
"""

from __future__ import annotations

from typing import Any

from branchpoint.config.balancing.base import BalancingConfig, GradientBalancingConfig, config_of
from branchpoint.config.balancing.gradients import (
    AlignedMTLConfig,
    CAGradConfig,
    ConflictFreeConfig,
    DualProjConfig,
    IMTLGConfig,
    MGDAConfig,
    NashMTLConfig,
    PCGradConfig,
    UPGradConfig,
)
from branchpoint.config.balancing.losses import (
    DirichletConfig,
    DynamicTaskPrioritizationConfig,
    DynamicWeightAverageConfig,
    FAMOConfig,
    GeometricMeanConfig,
    GradNormConfig,
    NormalizedSumConfig,
    RandomLossWeightingConfig,
    UncertaintyConfig,
    WeightedSumConfig,
)
from branchpoint.values import conform

BALANCING_CONFIGS: dict[str, type[BalancingConfig]] = {
    config.method: config
    for config in (
        WeightedSumConfig,
        NormalizedSumConfig,
        UncertaintyConfig,
        DirichletConfig,
        RandomLossWeightingConfig,
        GeometricMeanConfig,
        DynamicWeightAverageConfig,
        GradNormConfig,
        DynamicTaskPrioritizationConfig,
        FAMOConfig,
        UPGradConfig,
        MGDAConfig,
        PCGradConfig,
        CAGradConfig,
        NashMTLConfig,
        IMTLGConfig,
        AlignedMTLConfig,
        DualProjConfig,
        ConflictFreeConfig,
    )
}
"""Method to the class of its options; the entry points ``branchpoint.balancers`` of other packages add theirs."""

LOSS_METHODS = tuple(name for name, config in BALANCING_CONFIGS.items() if not config.of_gradients)
GRADIENT_METHODS = tuple(name for name, config in BALANCING_CONFIGS.items() if config.of_gradients)


def balancing_config(method: str, **options: Any) -> BalancingConfig:
    """The options of ``method``, those left out at their defaults.

    Raises:
        ValueError: there is no such method, or it has no such option.

    Example:
        >>> balancing_config("cagrad", c=1)
        CAGradConfig(gradients='parameters', c=1.0, rescale='none')
    """
    found: BalancingConfig = conform(BalancingConfig, {"method": method, **options}, "balancing")
    return found


__all__ = [
    "BALANCING_CONFIGS",
    "GRADIENT_METHODS",
    "LOSS_METHODS",
    "AlignedMTLConfig",
    "BalancingConfig",
    "CAGradConfig",
    "ConflictFreeConfig",
    "DirichletConfig",
    "DualProjConfig",
    "DynamicTaskPrioritizationConfig",
    "DynamicWeightAverageConfig",
    "FAMOConfig",
    "GeometricMeanConfig",
    "GradNormConfig",
    "GradientBalancingConfig",
    "IMTLGConfig",
    "MGDAConfig",
    "NashMTLConfig",
    "NormalizedSumConfig",
    "PCGradConfig",
    "RandomLossWeightingConfig",
    "UPGradConfig",
    "UncertaintyConfig",
    "WeightedSumConfig",
    "balancing_config",
    "config_of",
]
