"""Optuna's samplers by name, as a study asks for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    PartialFixedSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

TPE = "tpe"
RANDOM = "random"


def _tpe(seed: int, startup: int) -> BaseSampler:
    # Running trials count as bad ones (constant liar), so that those at work at the same time differ.
    return TPESampler(multivariate=True, group=True, constant_liar=True, n_startup_trials=startup, seed=seed)


_SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    TPE: _tpe,
    "gp": lambda seed, startup: GPSampler(seed=seed, n_startup_trials=startup),
    "nsga2": lambda seed, startup: NSGAIISampler(seed=seed, population_size=max(4, startup)),
    RANDOM: lambda seed, startup: RandomSampler(seed=seed),
    "qmc": lambda seed, startup: QMCSampler(seed=seed, scramble=True),
}
SAMPLERS = tuple(_SAMPLERS)
"""TPE (Watanabe 2023, multivariate), Gaussian process, NSGA-II, random search, and a scrambled Sobol sequence."""


def check_sampler(name: str) -> None:
    """Raise ValueError where ``name`` is none of :data:`SAMPLERS`."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler is {name!r}: must be one of {', '.join(SAMPLERS)}")


def make_sampler(name: str, seed: int, startup: int, fixed: Mapping[str, Any]) -> BaseSampler:
    """A sampler.

    Args:
        name: one of :data:`SAMPLERS`.
        seed: of its random numbers; a Sobol sequence needs the same one for all trials of a study.
        startup: trials that are drawn at random first, or the population of NSGA-II.
        fixed: parameter values that it does not vary.

    Raises:
        ValueError: there is no such sampler.
    """
    check_sampler(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = _SAMPLERS[name](seed, startup)
        return PartialFixedSampler(dict(fixed), sampler) if fixed else sampler
