"""A final network on all cases, for as many optimiser steps as its folds' networks ended with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from branchpoint.config import Config, SplitConfig
from branchpoint.datasets.splits import split
from branchpoint.execution.attempt import execute
from branchpoint.execution.refit import OBJECTIVE, chosen_epoch, refit_specs, steps_per_epoch
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.store import Store
from tests.execution.flat_setup import flat_setup
from tests.training.flat_cohort import DISC, LARGE, FlatCohort, flat_config


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return flat_setup(tmp_path)


def trained_folds(config: Config, setup: Setup) -> list[RunSpec]:
    """Both folds, complete."""
    specs = []
    for fold in (0, 1):
        of_fold = replace(config, split=replace(config.split, folds=2, fold=fold))
        specs.append(RunSpec(f"{of_fold.candidate}-fold{fold}", of_fold, stage="final"))
        assert execute(specs[-1], setup, lambda *_: None).state == "COMPLETE"
    return specs


@pytest.mark.parametrize("rule", ["average", "loss"])
def test_as_many_steps_as_the_folds_on_everybody(setup: Setup, rule: Any) -> None:
    config = flat_config(DISC, LARGE, epochs=6)
    config = replace(config, training=replace(config.training, select_by=rule, batch_size=2))
    runs, cohort = trained_folds(config, setup), FlatCohort()
    (refit,) = refit_specs(runs, setup)
    steps = np.median([chosen_epoch(run, setup) * steps_per_epoch(run.config, cohort) for run in runs])
    each = -(-len(cohort) // 2)
    assert steps_per_epoch(refit.config, cohort) == each
    assert abs(refit.config.training.epochs * each - steps) <= each / 2
    outcome = execute(refit, replace(setup, objective=OBJECTIVE), lambda *_: None)
    assert outcome.state == "COMPLETE", outcome.traceback
    assert setup.run_folder(refit.name).has_network
    row = next(row for row in Store(setup.store).trials("s").to_pylist() if row["trial"] == refit.name)
    assert row["stage"] == "refit"
    assert not any(name.startswith(("validation", "estimate", "rule")) for name in dict(row["metrics"]))


def test_the_epoch_that_validation_chose(setup: Setup) -> None:
    config = flat_config(DISC, LARGE, epochs=5)
    config = replace(config, training=replace(config.training, select_by="loss"))
    run = trained_folds(config, setup)[0]
    rows = Store(setup.store).epochs("s").to_pylist(maps_as_pydicts="strict")
    losses = [row["metrics"]["validation/loss"] for row in rows if row["trial"] == run.name]
    assert chosen_epoch(run, setup) == int(np.argmin(losses)) + 1
    missing = replace(run, config=replace(run.config, seed=77))
    with pytest.raises(ValueError, match="the store holds no epochs of"):
        chosen_epoch(missing, setup)


def test_seeds_of_the_finals_are_seeds_of_the_refit(setup: Setup) -> None:
    config = replace(flat_config(DISC, LARGE, epochs=2), split=SplitConfig(folds=2))
    config = replace(config, training=replace(config.training, select_by="last"))
    runs = [RunSpec(f"seed{seed}", replace(config, seed=seed)) for seed in (4, 3, 3)]
    first, second = refit_specs(runs, setup)
    assert (first.name, second.name) == (f"{config.candidate}-refit", f"{config.candidate}-refit-seed4")
    assert (first.config.seed, second.config.seed) == (3, 4)


def test_a_fixed_test_part_stays_out() -> None:
    parts = {f"P{n}": name for n, name in enumerate(["train"] * 6 + ["validation"] * 2 + ["test"] * 3)}
    cohort: Any = SimpleNamespace(splits={"official": parts}, patient_ids=list(parts), name="c")
    found = split(cohort, SplitConfig(scheme="official", refit=True))
    assert (found.train.tolist(), found.validation.tolist(), found.test.tolist()) == ([*range(8)], [], [8, 9, 10])


def test_what_a_refit_cannot_be() -> None:
    config = flat_config(DISC)
    refit = replace(config.split, refit=True, fold=0)
    with pytest.raises(ValueError, match="leaves no validation samples to choose an epoch by"):
        replace(config, split=refit, training=replace(config.training, select_by="score"))
    with pytest.raises(ValueError, match="use fold 0 and training_fraction 1"):
        SplitConfig(refit=True, fold=1)
    assert config.fingerprint == Config.from_json(config.to_json().replace(',"refit":false', "")).fingerprint
