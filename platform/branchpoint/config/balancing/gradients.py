"""Methods that combine the gradients of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from branchpoint.config.balancing.base import ElementwiseConfig, GradientBalancingConfig
from branchpoint.values import Range

NotNegative = Annotated[float, Range(at_least=0)]
Positive = Annotated[float, Range(above=0)]
Share = Annotated[float, Range(at_least=0, at_most=1)]


@dataclass(frozen=True, kw_only=True)
class UPGradConfig(GradientBalancingConfig):
    """Mean of the gradients, each projected so that it harms no task (Quinton and Rey 2024)."""

    method: ClassVar[str] = "upgrad"


@dataclass(frozen=True, kw_only=True)
class MGDAConfig(GradientBalancingConfig):
    """The shortest convex combination of gradients (Desideri 2012; Sener and Koltun 2018)."""

    method: ClassVar[str] = "mgda"


@dataclass(frozen=True, kw_only=True)
class PCGradConfig(GradientBalancingConfig):
    """Gradients projected onto the normal planes of those that they conflict with (Yu et al. 2020)."""

    method: ClassVar[str] = "pcgrad"


@dataclass(frozen=True, kw_only=True)
class CAGradConfig(GradientBalancingConfig):
    """The direction near the mean gradient that serves the worst task best (Liu et al. 2021).

    Attributes:
        c: radius of the ball around the mean gradient, relative to its norm.
        rescale: divide the result by 1, by 1 + c^2 or by 1 + c.
    """

    method: ClassVar[str] = "cagrad"

    c: NotNegative = 0.5
    rescale: Literal["none", "one_plus_c_squared", "one_plus_c"] = "none"


@dataclass(frozen=True, kw_only=True)
class NashMTLConfig(GradientBalancingConfig):
    """The Nash bargaining solution among the tasks (Navon et al. 2022).

    Attributes:
        max_norm: largest norm of the combined gradient; 0 leaves it alone.
    """

    method: ClassVar[str] = "nash_mtl"

    max_norm: NotNegative = 1.0


@dataclass(frozen=True, kw_only=True)
class IMTLGConfig(GradientBalancingConfig):
    """The combination with equal projections onto all gradients' directions (Liu et al. 2021, IMTL)."""

    method: ClassVar[str] = "imtl_g"


@dataclass(frozen=True, kw_only=True)
class AlignedMTLConfig(GradientBalancingConfig):
    """Gradients whose principal components are brought to one scale (Senushkin et al. 2023).

    Attributes:
        scale: singular value that all are brought to.
    """

    method: ClassVar[str] = "aligned_mtl"

    scale: Literal["min", "median", "rmse"] = "min"


@dataclass(frozen=True, kw_only=True)
class DualProjConfig(GradientBalancingConfig):
    """The mean gradient, projected so that it harms no task (Lopez-Paz and Ranzato 2017)."""

    method: ClassVar[str] = "dualproj"


@dataclass(frozen=True, kw_only=True)
class ConflictFreeConfig(GradientBalancingConfig):
    """A direction that has the same angle to every gradient (ConFIG; Liu et al. 2024)."""

    method: ClassVar[str] = "conflict_free"


@dataclass(frozen=True, kw_only=True)
class FairGradConfig(GradientBalancingConfig):
    """The combination that is alpha-fair in the tasks' gains (Ban and Ji 2024).

    Attributes:
        alpha: 1 is proportional fairness (Nash-MTL), a large one approaches the best gain of the worst task.
    """

    method: ClassVar[str] = "fairgrad"

    alpha: Positive = 2.0


@dataclass(frozen=True, kw_only=True)
class GradVacConfig(GradientBalancingConfig):
    """Gradients turned so that no pair is less similar than it has been on average (Wang et al. 2021).

    Attributes:
        beta: weight of the newest similarity in its moving average.
    """

    method: ClassVar[str] = "gradvac"

    beta: Share = 0.5


@dataclass(frozen=True, kw_only=True)
class GradDropConfig(ElementwiseConfig):
    """Sign dropout: each element of the gradient keeps one sign, drawn by its purity (Chen et al. 2020).

    Attributes:
        leak: share of each task's gradient that is never dropped.
    """

    method: ClassVar[str] = "graddrop"

    leak: Share = 0.0


@dataclass(frozen=True, kw_only=True)
class ExcessMTLConfig(ElementwiseConfig):
    """Weights by how far each task is from the best that it can do (He et al. 2024).

    Attributes:
        step_size: of the weights' exponentiated gradient ascent.
        warm_up_steps: steps with a task in which its first excess risk is measured; the authors take three epochs.
    """

    method: ClassVar[str] = "excess_mtl"

    step_size: Positive = 1.0
    warm_up_steps: Annotated[int, Range(at_least=1)] = 10
