"""What the options of every balancing method have. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from branchpoint.values import Checked, look_up, refuse, require

OLD_OPTIONS = (
    "form",
    "log_variance",
    "draws",
    "concentration",
    "temperature",
    "alpha",
    "gamma",
    "smoothing",
    "learning_rate",
    "weight_decay",
    "c",
    "rescale",
    "max_norm",
    "scale",
    "gradients",
)
"""Options of the one class that all methods once shared. Configs stored then have each of them, null where the method
has none of that name."""

NOT_OFFERED = {
    "sdmgrad": (
        "SDMGrad (Xiao et al. 2023, algorithm 1) needs the gradients of three independent batches for each step, and a "
        "step here has one; 'mgda' and 'cagrad' are its neighbours"
    )
}
"""Methods that people look for, and why they are absent."""


@dataclass(frozen=True, kw_only=True)
class BalancingConfig(Checked):
    """How task losses or their gradients are combined: the base of one class for each method.

    In every method the weights of the tasks multiply their losses first.

    A new method is a subclass with a ``method`` of its own in
    :data:`branchpoint.config.balancing.BALANCING_CONFIGS`, or the ``config_class`` of an entry point of
    ``branchpoint.balancers``.
    """

    section = "balancing"
    tag = "method"
    method: ClassVar[str]
    """Name of the method in JSON."""
    of_gradients: ClassVar[bool] = False
    """It combines gradients rather than losses."""
    needs_shared_stage: ClassVar[bool] = False
    """It compares gradients where tasks share parameters, so that it does not suit separate networks."""
    needs_bounded_metrics: ClassVar[bool] = False
    """It weighs tasks by their primary metrics, which must lie in [0, 1]."""

    @property
    def of_features(self) -> bool:
        """Whether it combines gradients with respect to the features that leave the shared trunk."""
        return False

    @classmethod
    def reader_of(cls, plain: Mapping[str, Any], place: str) -> tuple[type, dict[str, Any]]:
        """The class of the ``method``, with what stores of old hold beside its options left out.

        Raises:
            ValueError: the method is unknown or not that of ``cls``.
        """
        from branchpoint.config.balancing import BALANCING_CONFIGS

        own = getattr(cls, "method", None)
        method = plain.get("method", own or "sum")
        where = f"{place or cls.section}.method"
        if method in NOT_OFFERED and method not in BALANCING_CONFIGS:
            refuse(where, method, NOT_OFFERED[method])
        found = look_up(BALANCING_CONFIGS, method, where, "branchpoint.balancers", config_of)
        require(own in (None, method), where, method, f"must be {own!r}")
        return found, {name: value for name, value in plain.items() if value is not None or name not in OLD_OPTIONS}


@dataclass(frozen=True, kw_only=True)
class GradientBalancingConfig(BalancingConfig):
    """Base of the methods that combine gradients by their inner products; most need the extra ``balancing``.

    Attributes:
        gradients: with respect to the shared ``parameters``, or to the ``features`` that leave the shared trunk (an
            upper bound of the same problem that costs one pass through the trunk; Sener and Koltun 2018, 3.3), where
            the topology parts only once.
    """

    of_gradients: ClassVar[bool] = True
    needs_shared_stage: ClassVar[bool] = True

    gradients: Literal["parameters", "features"] = "parameters"

    @property
    def of_features(self) -> bool:
        return self.gradients == "features"


@dataclass(frozen=True, kw_only=True)
class ElementwiseConfig(BalancingConfig):
    """Base of the methods that look at each element of the gradients in what tasks share."""

    of_gradients: ClassVar[bool] = True
    needs_shared_stage: ClassVar[bool] = True


def config_of(balancer: Any) -> type[BalancingConfig]:
    """The Config class of a method, a subclass of :class:`branchpoint.balancing.Balancer`."""
    found = balancer.config_class
    if not (isinstance(found, type) and issubclass(found, BalancingConfig)):
        raise TypeError(f"{balancer!r}.config_class must be a subclass of BalancingConfig")
    return found
