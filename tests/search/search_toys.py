"""A small space for tests of the search; importable by Ray workers."""

from __future__ import annotations

from dataclasses import replace

import optuna
from branchpoint.config import Config


def toy_space(trial: optuna.trial.BaseTrial, base: Config) -> Config:
    """Width in 1..8 and depth in 1..4; width 7 does not fit depth 4."""
    width = trial.suggest_int("width", 1, 8)
    depth = trial.suggest_int("depth", 1, 4)
    if width == 7 and depth == 4:
        raise ValueError(f"network.width is {width}: does not fit depth {depth}")
    return replace(base, network=replace(base.network, width=width, depth=depth))
