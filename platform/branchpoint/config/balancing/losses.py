"""Methods that give each loss a weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from branchpoint.config.balancing.base import BalancingConfig
from branchpoint.values import Range

Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(at_least=0)]


@dataclass(frozen=True, kw_only=True)
class WeightedSumConfig(BalancingConfig):
    """Fixed weights, those of the tasks (Andrearczyk et al. 2021)."""

    method: ClassVar[str] = "sum"


@dataclass(frozen=True, kw_only=True)
class NormalizedSumConfig(BalancingConfig):
    """Each loss over its mean of the first epoch."""

    method: ClassVar[str] = "normalized_sum"


@dataclass(frozen=True, kw_only=True)
class UncertaintyConfig(BalancingConfig):
    """Homoscedastic uncertainty (Kendall et al. 2018).

    Attributes:
        form: ``half`` is L / (2 sigma^2) + log sigma for every task (the form for regression and segmentation),
            ``full`` is L / sigma^2 + log sigma (cross-entropies).
        log_variance: start of log sigma^2 (0: sigma starts at 1).
        learning_rate: of log sigma^2, from the first step to the last.
    """

    method: ClassVar[str] = "uncertainty"

    form: Literal["half", "full"] = "half"
    log_variance: Annotated[float, Range(at_least=-20, at_most=20)] = 0.0
    learning_rate: Positive = 0.025


@dataclass(frozen=True, kw_only=True)
class IMTLLConfig(BalancingConfig):
    """Learned scales that bring all weighted losses to 1 (IMTL-L; Liu et al. 2021).

    Attributes:
        learning_rate: of the logarithms of the scales, from the first step to the last.
    """

    method: ClassVar[str] = "imtl_l"

    learning_rate: Positive = 0.025


@dataclass(frozen=True, kw_only=True)
class SmoothTchebycheffConfig(BalancingConfig):
    """A smooth maximum of the relative losses (STCH; Lin et al. 2024).

    Attributes:
        mu: smoothing; the smaller, the closer to the maximum.
        warm_up_epochs: epochs in which the sum of the logarithms of the losses is descended. The losses of the last of
            these are the unit of the relative ones.
    """

    method: ClassVar[str] = "stch"

    mu: Positive = 1.0
    warm_up_epochs: Annotated[int, Range(at_least=1)] = 4


@dataclass(frozen=True, kw_only=True)
class DirichletConfig(BalancingConfig):
    """Random weights from a symmetric Dirichlet distribution (Bao et al. 2021).

    Attributes:
        draws: samples that a step's weights are the mean of; 0 as published: 1 for two tasks, else 2.
        concentration: of every task.
    """

    method: ClassVar[str] = "dirichlet"

    draws: Annotated[int, Range(at_least=0, at_most=10_000)] = 0
    concentration: Positive = 1.0


@dataclass(frozen=True, kw_only=True)
class RandomLossWeightingConfig(BalancingConfig):
    """Random weights, the softmax of standard normal numbers (Lin et al. 2022)."""

    method: ClassVar[str] = "rlw"


@dataclass(frozen=True, kw_only=True)
class GeometricMeanConfig(BalancingConfig):
    """The geometric mean of the losses (Chennupati et al. 2019)."""

    method: ClassVar[str] = "gls"


@dataclass(frozen=True, kw_only=True)
class DynamicWeightAverageConfig(BalancingConfig):
    """Weights by how slowly losses fall (Liu et al. 2019).

    Attributes:
        temperature: the larger, the more even the weights.
    """

    method: ClassVar[str] = "dwa"

    temperature: Positive = 2.0


@dataclass(frozen=True, kw_only=True)
class GradNormConfig(BalancingConfig):
    """Learned weights that equalise the rates at which tasks train (Chen et al. 2018).

    Attributes:
        alpha: strength of the pull towards equal rates.
        learning_rate: of the logits of the weights, from the first step to the last.
    """

    method: ClassVar[str] = "gradnorm"
    needs_shared_stage: ClassVar[bool] = True

    alpha: NotNegative = 1.5
    learning_rate: Positive = 0.025


@dataclass(frozen=True, kw_only=True)
class DynamicTaskPrioritizationConfig(BalancingConfig):
    """Weights by how poor the primary metrics are (Guo et al. 2018).

    Attributes:
        gamma: focusing exponent.
        smoothing: weight of the newest performance in its moving average.
    """

    method: ClassVar[str] = "dtp"
    needs_bounded_metrics: ClassVar[bool] = True

    gamma: NotNegative = 1.0
    smoothing: Annotated[float, Range(above=0, at_most=1)] = 0.5


@dataclass(frozen=True, kw_only=True)
class FAMOConfig(BalancingConfig):
    """Fast adaptive multitask optimisation (Liu et al. 2023).

    Attributes:
        learning_rate, weight_decay: of the logits of its weights.
    """

    method: ClassVar[str] = "famo"

    learning_rate: Positive = 0.025
    weight_decay: NotNegative = 1e-3
