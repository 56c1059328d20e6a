"""How task losses or gradients are combined: one class of options for each method. Standard library only.

:mod:`branchpoint.balancing` builds what they name.
"""

from __future__ import annotations

from typing import Any

from branchpoint.config.balancing.base import (
    BalancingConfig,
    ElementwiseConfig,
    GradientBalancingConfig,
    config_of,
)
from branchpoint.config.balancing.gradients import (
    AlignedMTLConfig,
    CAGradConfig,
    ConflictFreeConfig,
    DualProjConfig,
    ExcessMTLConfig,
    FairGradConfig,
    GradDropConfig,
    GradVacConfig,
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
    IMTLLConfig,
    NormalizedSumConfig,
    RandomLossWeightingConfig,
    SmoothTchebycheffConfig,
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
        IMTLLConfig,
        SmoothTchebycheffConfig,
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
        FairGradConfig,
        GradVacConfig,
        GradDropConfig,
        ExcessMTLConfig,
    )
}
"""Method to the class of its options; the entry points ``branchpoint.balancers`` of other packages add theirs."""

LOSS_METHODS = tuple(name for name, config in BALANCING_CONFIGS.items() if not config.of_gradients)
GRADIENT_METHODS = tuple(name for name, config in BALANCING_CONFIGS.items() if config.of_gradients)
GRAMIAN_METHODS = tuple(
    name for name, config in BALANCING_CONFIGS.items() if issubclass(config, GradientBalancingConfig)
)
"""Those of the gradient methods that need their inner products alone."""
ELEMENTWISE_METHODS = tuple(name for name in GRADIENT_METHODS if name not in GRAMIAN_METHODS)


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
    "ELEMENTWISE_METHODS",
    "GRADIENT_METHODS",
    "GRAMIAN_METHODS",
    "LOSS_METHODS",
    "AlignedMTLConfig",
    "BalancingConfig",
    "CAGradConfig",
    "ConflictFreeConfig",
    "DirichletConfig",
    "DualProjConfig",
    "DynamicTaskPrioritizationConfig",
    "DynamicWeightAverageConfig",
    "ElementwiseConfig",
    "ExcessMTLConfig",
    "FAMOConfig",
    "FairGradConfig",
    "GeometricMeanConfig",
    "GradDropConfig",
    "GradNormConfig",
    "GradVacConfig",
    "GradientBalancingConfig",
    "IMTLGConfig",
    "IMTLLConfig",
    "MGDAConfig",
    "NashMTLConfig",
    "NormalizedSumConfig",
    "PCGradConfig",
    "RandomLossWeightingConfig",
    "SmoothTchebycheffConfig",
    "UPGradConfig",
    "UncertaintyConfig",
    "WeightedSumConfig",
    "balancing_config",
    "config_of",
]
