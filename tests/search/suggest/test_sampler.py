"""The quick sampler draws what Optuna's own draws, and goes through the trials once for a suggestion."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from branchpoint.search.suggest import sampler as sampler_module
from branchpoint.search.suggest.sampler import OneLookTPE

STARTUP = 6


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def conditional(trial: optuna.Trial) -> float:
    """Parameters that occur together in many ways, of every kind."""
    value = abs(trial.suggest_float("rate", 1e-4, 1e-1, log=True) - 3e-3) * 10
    family = trial.suggest_categorical("family", ["plain", "tree", "forest"])
    if family != "plain":
        value += 0.1 * abs(trial.suggest_int("depth", 2, 9) - 4)
        if trial.suggest_categorical("taps", [True, False]):
            value += 0.2 * abs(trial.suggest_float("share", 0.0, 1.0, step=0.1) - 0.5)
    if family == "forest":
        value += 0.05 * trial.suggest_int("width", 4, 64, log=True)
    return value


def run(make: Any, trials: int) -> list[dict[str, Any]]:
    """Parameters of a study with trials of every end, four of which run at any time."""
    study, chance = optuna.create_study(direction="minimize"), random.Random(1)
    study.enqueue_trial({"rate": 1e-2, "family": "plain"})
    running: list[tuple[optuna.Trial, float]] = []
    drawn = []
    for number in range(trials):
        study.sampler = make(number)
        trial = study.ask()
        value = conditional(trial)
        drawn.append(trial.params)
        running.append((trial, value))
        if number % 7 == 3:  # told at once
            trial.set_constraint("feasible", 1.0)
            study.tell(running.pop()[0], state=TrialState.PRUNED)
        if len(running) > 4:
            trial, value = running.pop(chance.randrange(len(running)))
            state = chance.choice([TrialState.COMPLETE] * 4 + [TrialState.PRUNED] * 3 + [TrialState.FAIL])
            trial.report(value, chance.choice([2, 4]))
            study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)
    return drawn


def test_draws_are_those_of_optuna() -> None:
    def optunas(number: int) -> TPESampler:
        return TPESampler(multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP, seed=number)

    quick = OneLookTPE(STARTUP)
    assert run(lambda number: quick.seeded(number), 90) == run(optunas, 90)


def test_a_model_serves_as_many_suggestions_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = []
    split = sampler_module._split_trials

    def counted(*arguments: Any) -> Any:
        splits.append(arguments)
        return split(*arguments)

    monkeypatch.setattr(sampler_module, "_split_trials", counted)
    quick = OneLookTPE(STARTUP)
    run(lambda number: quick.seeded(number), 60)
    each = len(splits)
    splits.clear()
    run(lambda number: quick.seeded(number, serve=5), 60)
    assert each <= 60
    assert len(splits) <= each // 5 + 1
