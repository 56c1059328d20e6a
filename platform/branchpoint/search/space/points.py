"""Starting points of a search: parameter values that are tried first, checked before anything starts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from branchpoint.config import Config
from branchpoint.search.space.trial import Trial

Space = Callable[[Trial, Config], Config]


def config_at(space: Space, base: Config, point: Mapping[str, Any]) -> Config:
    """The Config that ``space`` gives for the parameter values ``point``.

    Raises:
        ValueError: the space asks for a parameter that ``point`` lacks, never asks for one that it has, or a value
            lies outside its range; the message names parameter, value and range.
    """
    trial = optuna.trial.FixedTrial(dict(point))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a value out of range only warns; it is refused below
        try:
            config = space(trial, base)
        except ValueError as problem:
            raise ValueError(f"starting point {dict(point)}: {problem}") from problem
    for name, value in point.items():
        if name not in trial.distributions:
            known = ", ".join(trial.distributions)
            raise ValueError(f"starting point {dict(point)}: the space never asks for {name!r}; it asks for {known}")
        if not _within(trial.distributions[name], value):
            raise ValueError(
                f"starting point {dict(point)}: {name} is {value!r}, outside of {trial.distributions[name]}"
            )
    return config


def check_points(space: Space, base: Config, points: Sequence[Mapping[str, Any]]) -> list[Config]:
    """The Configs of all ``points``; ValueError where one is invalid or two give the same Config."""
    configs = [config_at(space, base, point) for point in points]
    seen: dict[str, Mapping[str, Any]] = {}
    for config, point in zip(configs, points, strict=True):
        if config.fingerprint in seen:
            raise ValueError(f"starting points {seen[config.fingerprint]} and {point} give the same configuration")
        seen[config.fingerprint] = point
    return configs


def _within(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    if isinstance(distribution, FloatDistribution | IntDistribution) and isinstance(value, int | float):
        steps = (value - distribution.low) / distribution.step if distribution.step else 0.0
        return distribution.low <= value <= distribution.high and abs(steps - round(steps)) < 1e-9
    return False
