"""What is compared: the platform's search and others, each as an object that asks, reports and tells."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import optuna

from branchpoint.config import Config
from branchpoint.execution.halving import Halving, HalvingConfig
from branchpoint.search.suggest.suggestions import Suggestions
from tabular.space import EPOCHS, PARAMETERS, Point, space
from tabular.table import KEPT


class Searcher(Protocol):
    """A search for the best of a finite number of configurations."""

    def ask(self) -> int | None:
        """A configuration to train; ``None``: no further one."""

    def stops(self, epoch: int, value: float) -> bool:
        """Whether the configuration that was asked for last stops after ``epoch`` with ``value``."""

    def tell(self, value: float, stopped: bool) -> None:
        """The last one ended."""


class Platform:
    """:class:`branchpoint.search.suggest.suggestions.Suggestions` and halving, as a study has them.

    Args:
        base: of the space.
        numbers: candidate to its number in the table.
        trials: at most.
        seed: of the sampler.
        sampler: its name.
        grace: of halving; ``None``: every trial is trained to its end.
        first: parameter values that are tried first.
    """

    def __init__(
        self,
        base: Config,
        numbers: Mapping[str, int],
        trials: int,
        seed: int,
        *,
        sampler: str = "tpe",
        grace: int | None = EPOCHS // 3,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._numbers, self._name = numbers, ""
        self._halving = Halving(HalvingConfig(grace=grace), EPOCHS) if grace else None
        journal = Path(self._folder.name) / "journal.log"
        self._suggestions = Suggestions(
            journal, "s", space, base, points=[first] if first else [], sampler=sampler, trials=trials, seed=seed
        )

    def ask(self) -> int | None:
        suggestion = self._suggestions.next()
        if suggestion is None:
            return None
        self._name = suggestion.name
        return self._numbers[suggestion.config.candidate]

    def stops(self, epoch: int, value: float) -> bool:
        self._suggestions.report(self._name, epoch, value)
        return self._halving is not None and self._halving.stop_reason(self._name, epoch, value) is not None

    def tell(self, value: float, stopped: bool) -> None:
        self._suggestions.tell(self._name, "PRUNED" if stopped else "COMPLETE", value)


class Optuna:
    """Optuna as its users write it: ``study.ask``, ``trial.report``, ``trial.should_prune``; nothing is remembered."""

    def __init__(
        self,
        base: Config,
        numbers: Mapping[str, int],
        sampler: optuna.samplers.BaseSampler,
        pruner: optuna.pruners.BasePruner | None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._base, self._numbers = base, numbers
        self._study = optuna.create_study(
            direction="maximize", sampler=sampler, pruner=pruner or optuna.pruners.NopPruner()
        )

    def ask(self) -> int:
        self._trial = self._study.ask()
        return self._numbers[space(self._trial, self._base).candidate]

    def stops(self, epoch: int, value: float) -> bool:
        self._trial.report(value, epoch)
        return epoch < EPOCHS and self._trial.should_prune()

    def tell(self, value: float, stopped: bool) -> None:
        state = optuna.trial.TrialState.PRUNED if stopped else optuna.trial.TrialState.COMPLETE
        self._study.tell(self._trial, None if stopped else value, state=state)


class RayOptuna:
    """Ray Tune's ``OptunaSearch`` and ``ASHAScheduler`` at their defaults, driven without a cluster."""

    def __init__(self, base: Config, numbers: Mapping[str, int], seed: int) -> None:
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        logging.getLogger("ray").setLevel(logging.ERROR)
        self._base, self._numbers, self._count = base, numbers, 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._search = OptunaSearch(space=_ask_for_all, metric="score", mode="max", seed=seed)
        self._scheduler = ASHAScheduler(time_attr="epoch", metric="score", mode="max", max_t=EPOCHS)

    def ask(self) -> int:
        self._count += 1
        self._id = str(self._count)
        values = self._search.suggest(self._id)
        self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=self._id))
        return self._numbers[space(Point(values), self._base).candidate]

    def stops(self, epoch: int, value: float) -> bool:
        result = {"epoch": epoch, "score": value, "training_iteration": epoch}
        self._search.on_trial_result(self._id, result)
        answer = self._scheduler.on_trial_result(None, SimpleNamespace(trial_id=self._id), result)
        return epoch < EPOCHS and answer == "STOP"

    def tell(self, value: float, stopped: bool) -> None:
        self._search.on_trial_complete(self._id, {"score": value})


def _ask_for_all(trial: optuna.Trial) -> None:
    for name, choices in PARAMETERS.items():
        trial.suggest_categorical(name, choices)


Make = Callable[[Config, Mapping[str, int], int, int], Searcher]


def searchers(first: Mapping[str, Any]) -> dict[str, Make]:
    """Name to a function of base, numbers, most trials and seed."""

    def platform(**settings: Any) -> Make:
        return lambda base, numbers, trials, seed: Platform(base, numbers, trials, seed, **{"first": first, **settings})

    return {
        "branchpoint": platform(),
        "  without first point": platform(first=None),
        "  grace of a ninth": platform(grace=1),
        "  no halving": platform(grace=None),
        "  random and halving": platform(sampler="random"),
        "random search": lambda base, numbers, trials, seed: Optuna(
            base, numbers, optuna.samplers.RandomSampler(seed=seed), None
        ),
        "Optuna TPE, no pruner": lambda base, numbers, trials, seed: Optuna(
            base, numbers, optuna.samplers.TPESampler(seed=seed), None
        ),
        "Optuna TPE + ASHA": lambda base, numbers, trials, seed: Optuna(
            base, numbers, optuna.samplers.TPESampler(seed=seed), optuna.pruners.SuccessiveHalvingPruner()
        ),
        "Optuna TPE + Hyperband": lambda base, numbers, trials, seed: Optuna(
            base,
            numbers,
            optuna.samplers.TPESampler(seed=seed),
            optuna.pruners.HyperbandPruner(min_resource=1, max_resource=KEPT[-1]),
        ),
        "Optuna NSGA-II": lambda base, numbers, trials, seed: Optuna(
            base, numbers, optuna.samplers.NSGAIISampler(seed=seed, population_size=10), None
        ),
        "Ray OptunaSearch + ASHA": lambda base, numbers, trials, seed: RayOptuna(base, numbers, seed),
    }
