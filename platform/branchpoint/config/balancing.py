"""``BalancingConfig``: how task losses or gradients are combined, with the options of each method.

Standard library only; :mod:`branchpoint.balancing` builds what it names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

LossMethod = Literal[
    "sum", "normalized_sum", "uncertainty", "dirichlet", "rlw", "gls", "dwa", "gradnorm", "dtp", "famo"
]
GradientMethod = Literal[
    "upgrad", "mgda", "pcgrad", "cagrad", "nash_mtl", "imtl_g", "aligned_mtl", "dualproj", "conflict_free"
]
LOSS_METHODS: tuple[str, ...] = get_args(LossMethod)
GRADIENT_METHODS: tuple[str, ...] = get_args(GradientMethod)

_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "uncertainty": {"form": "half", "log_variance": 0.0},
        "dirichlet": {"draws": 0, "concentration": 1.0},
        "dwa": {"temperature": 2.0},
        "gradnorm": {"alpha": 1.5},
        "dtp": {"gamma": 1.0, "smoothing": 0.5},
        "famo": {"learning_rate": 0.025, "weight_decay": 1e-3},
        "cagrad": {"c": 0.5, "rescale": "none"},
        "nash_mtl": {"max_norm": 1.0},
        "aligned_mtl": {"scale": "min"},
        **{method: {} for method in ("upgrad", "mgda", "pcgrad", "imtl_g", "dualproj", "conflict_free")},
    }
)


@dataclass(frozen=True, kw_only=True)
class BalancingConfig:
    """How task losses are combined. In every method the weights of the tasks multiply their losses first.

    ``sum`` (fixed weights) is the weighted sum of paper 003. An option is ``None`` where the method has none of that
    name, and takes the default given here where it is left out, so that equal runs have equal Configs.

    Attributes:
        method: of losses (``sum`` to ``famo``), or of gradients, most of which need the extra ``balancing``.
        form: ``uncertainty``: ``half`` is L / (2 sigma^2) + log sigma for every task (the form for regression and
            segmentation), ``full`` is L / sigma^2 + log sigma (cross-entropies).
        log_variance: ``uncertainty``: start of log sigma^2 (0: sigma starts at 1).
        draws: ``dirichlet``: samples that a step's weights are the mean of; 0 as published: 1 for two tasks, else 2.
        concentration: ``dirichlet``: of every task.
        temperature: ``dwa``.
        alpha: ``gradnorm``: strength of the pull towards equal training rates.
        gamma: ``dtp``: focusing exponent.
        smoothing: ``dtp``: weight of the newest performance in its moving average.
        learning_rate, weight_decay: ``famo``: of the logits of its weights.
        c: ``cagrad``: radius of the ball around the mean gradient.
        rescale: ``cagrad``: divide the result by 1, by 1 + c^2 or by 1 + c.
        max_norm: ``nash_mtl``: largest norm of the combined gradient; 0 leaves it alone.
        scale: ``aligned_mtl``: singular value that all are brought to.
        gradients: of the methods of gradients: with respect to the shared ``parameters``, or to the ``features`` that
            leave the shared trunk (an upper bound of the same problem that costs one pass through the trunk; Sener
            and Koltun 2018, 3.3), where the topology parts only once.
    """

    method: LossMethod | GradientMethod = "sum"
    form: Literal["half", "full"] | None = None
    log_variance: float | None = None
    draws: int | None = None
    concentration: float | None = None
    temperature: float | None = None
    alpha: float | None = None
    gamma: float | None = None
    smoothing: float | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    c: float | None = None
    rescale: Literal["none", "one_plus_c_squared", "one_plus_c"] | None = None
    max_norm: float | None = None
    scale: Literal["min", "median", "rmse"] | None = None
    gradients: Literal["parameters", "features"] | None = None

    def __post_init__(self) -> None:
        if self.method not in (*LOSS_METHODS, *GRADIENT_METHODS):
            known = ", ".join(map(repr, (*LOSS_METHODS, *GRADIENT_METHODS)))
            raise ValueError(f"balancing.method is {self.method!r}: known are {known}")
        defaults = {**_DEFAULTS.get(self.method, {})}
        if self.method in GRADIENT_METHODS:
            defaults["gradients"] = "parameters"
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "method":
                continue
            if value is not None and field.name not in defaults:
                owners = ", ".join(method for method, options in _DEFAULTS.items() if field.name in options)
                raise ValueError(
                    f"balancing.{field.name} is {value!r}: {self.method!r} has no such option; it belongs to "
                    f"{owners or 'the methods of gradients'}"
                )
            if value is None:
                object.__setattr__(self, field.name, defaults.get(field.name))
        self._check_ranges()

    def _check_ranges(self) -> None:
        for name in ("concentration", "temperature", "learning_rate"):
            self._require(name, lambda value: value > 0, "must be positive")
        for name in ("draws", "gamma", "weight_decay", "c", "max_norm", "alpha"):
            self._require(name, lambda value: value >= 0, "must be at least 0")
        self._require("smoothing", lambda value: 0 < value <= 1, "must lie above 0 and at most at 1")

    def _require(self, name: str, holds: Any, rule: str) -> None:
        value = getattr(self, name)
        if value is not None and not (math.isfinite(value) and holds(value)):
            raise ValueError(f"balancing.{name} is {value!r}: {rule}")

    def number(self, option: str) -> float:
        """The value of a numeric option of the method."""
        value = getattr(self, option)
        if not isinstance(value, int | float):
            raise ValueError(f"balancing.{option} is {value!r}: {self.method!r} has no such number")
        return value

    @property
    def of_gradients(self) -> bool:
        """Whether the method combines gradients rather than losses."""
        return self.method in GRADIENT_METHODS
