"""Final networks on all cases: a network of a fold has seen a part of them, and none has seen all.

A refit takes as many optimiser steps as the runs of the folds ended with: the median over them, each counted to the
epoch that ``training.select_by`` chose. Where validation chose it, there is none to choose by any more: the whole
course of the learning rate is then run through in that many steps, and the last weights are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from branchpoint.config import SCORE, Config
from branchpoint.datasets.splits import split
from branchpoint.execution.recommendation import refit_name
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.store import Store

OBJECTIVE = "train/loss"
"""Of refits, which have nothing to validate on; it ranks nothing."""


def refit_specs(runs: Sequence[RunSpec], setup: Setup) -> list[RunSpec]:
    """One run for each seed among ``runs``, the complete runs of one candidate on its folds."""
    prepared = setup.cohort()
    steps = float(np.median([chosen_epoch(spec, setup) * steps_per_epoch(spec.config, prepared) for spec in runs]))
    seeds = sorted({spec.config.seed for spec in runs})
    return [_spec(runs[0].config, seed, steps, prepared, first=seed == seeds[0]) for seed in seeds]


def _spec(config: Config, seed: int, steps: float, prepared: Any, *, first: bool) -> RunSpec:
    rule, candidate = config.training.select_by, config.candidate
    config = replace(
        config,
        seed=seed,
        split=replace(config.split, fold=0, refit=True),
        training=replace(config.training, select_by="average" if rule == "average" else "last"),
    )
    epochs = max(1, round(steps / steps_per_epoch(config, prepared)))
    config = replace(config, training=replace(config.training, epochs=epochs))
    return RunSpec(refit_name(candidate, seed, first), config, stage="refit")


def steps_per_epoch(config: Config, prepared: Any) -> int:
    """Optimiser steps of an epoch."""
    return math.ceil(len(split(prepared, config.split).train) / config.training.batch_size)


def chosen_epoch(spec: RunSpec, setup: Setup) -> int:
    """The epoch whose weights a complete run ended with.

    Raises:
        ValueError: validation chose it, and the store does not hold the run's epochs.
    """
    rule = spec.config.training.select_by
    if rule in ("last", "average"):
        return spec.config.training.epochs
    store = Store(setup.store)
    trials = store.trials(setup.study, columns=["fingerprint"]).to_pylist()
    same = {row["trial"] for row in trials if row["fingerprint"] == spec.config.fingerprint}
    metric, sign = (SCORE, 1) if rule == "score" else ("validation/loss", -1)
    rows = store.epochs(setup.study).to_pylist(maps_as_pydicts="strict")
    values = {row["epoch"]: sign * row["metrics"][metric] for row in rows if row["trial"] in same}
    if not values:
        raise ValueError(
            f"study {setup.study!r}: the store holds no epochs of {spec.name}, whose best one says how long a refit "
            "trains; train the folds again, or use training.select_by 'last' or 'average'"
        )
    return max(values, key=lambda epoch: (values[epoch], -epoch))
