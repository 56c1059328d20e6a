"""Optuna's TPE at the cost of one look at the trials for a suggestion, and in long studies of one look for several.

``TPESampler(group=True)`` lists, sorts and reads all trials anew for each group of parameters that occur together,
which in a space of conditional parameters is some twenty times for a suggestion. :class:`OneLookTPE` sorts them once
and keeps their parameters as numbers. Its draws are those of Optuna's own sampler, one for one (a test compares them).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.samplers._tpe.sampler import _RELATIVE_PARAMS_KEY, _split_trials, default_gamma
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace, _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

_USED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class OneLookTPE(TPESampler):
    """TPE with groups of parameters (multivariate) and running trials as bad ones (constant liar), for one study.

    Args:
        n_startup_trials: suggestions at random before the first model.
    """

    def __init__(self, n_startup_trials: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(multivariate=True, group=True, constant_liar=True, n_startup_trials=n_startup_trials)
        self._groups = self._group_decomposed_search_space = _Groups()
        self._numbers = _Numbers()
        self._model: _Model | None = None
        self._serve, self._served = 1, 0
        self._asked_for = -1

    def seeded(self, seed: int, serve: int = 1) -> OneLookTPE:
        """This sampler for the next suggestion, which draws by ``seed``.

        Args:
            serve: how many suggestions may come from one model of the trials.
        """
        self._rng = LazyRandomState(seed)
        self._random_sampler = RandomSampler(seed=seed)
        self._serve = serve
        self._served += 1
        if self._served >= serve:
            self._model = None
        self._groups.hold = self._model is not None
        return self

    def _sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        if self._model is None and not self._enough(study, trial.number):
            return {}
        return self._sample(study, trial, search_space)

    def _enough(self, study: optuna.Study, number: int) -> bool:
        """Whether there are trials for a model; looked up once for a suggestion."""
        if self._asked_for != number:
            found = study._get_trials(deepcopy=False, states=_USED[:2], use_cache=True)
            self._asked_for, self._is_enough = number, len(found) >= self._n_startup_trials
        return self._is_enough

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._model is None:
            self._model, self._served = self._fitted(study, trial), 0
        best = self._model.draw(self, space=search_space, ahead=self._serve)
        return {name: kind.to_external_repr(best[name]) for name, kind in search_space.items()}

    def _fitted(self, study: optuna.Study, own: FrozenTrial) -> _Model:
        trials = study._get_trials(deepcopy=False, states=_USED, use_cache=False)
        trials = [trial for trial in trials if trial.number != own.number]
        ended = sum(trial.state != TrialState.RUNNING for trial in trials)
        good, bad = _split_trials(study, trials, default_gamma(ended))
        self._numbers.forget_others(trials)
        return _Model(self._numbers, good, bad)


class _Model:
    """Trials split into good and bad ones, and what was drawn ahead of each group of parameters."""

    def __init__(self, numbers: _Numbers, good: Sequence[FrozenTrial], bad: Sequence[FrozenTrial]) -> None:
        self._tables: list[np.ndarray] | None = None
        self._numbers, self._good, self._bad = numbers, good, bad
        self._ready: dict[Any, list[dict[str, Any]]] = {}

    def draw(self, sampler: OneLookTPE, space: dict[str, BaseDistribution], ahead: int) -> dict[str, Any]:
        """The best of some draws of ``space``; where none is left of a former call, ``ahead`` of them are made."""
        ready = self._ready.setdefault(tuple(space.items()), [])
        if not ready:
            below, above = self._densities(sampler, space)
            most = sampler._n_ei_candidates
            drawn = below.sample(sampler._rng.rng, most * ahead)
            gains = sampler._compute_acquisition_func(drawn, below, above)
            for part in (slice(start, start + most) for start in range(0, most * ahead, most)):
                ready.append(sampler._compare({name: values[part] for name, values in drawn.items()}, gains[part]))
            ready.reverse()
        return ready.pop()

    def _densities(self, sampler: OneLookTPE, space: dict[str, BaseDistribution]) -> list[Any]:
        """Of ``space`` among good and among bad trials."""
        if self._numbers.learn(space) or self._tables is None:
            self._tables = [self._numbers.table(trials) for trials in (self._good, self._bad)]
        columns = [self._numbers.columns[name] for name in space]
        return [_density(sampler, table[:, columns], space) for table in self._tables]


def _density(sampler: OneLookTPE, rows: np.ndarray, space: dict[str, BaseDistribution]) -> Any:
    """(trials, parameters) to their Parzen estimator; a trial without one of the parameters does not count."""
    whole = rows[~np.isnan(rows).any(axis=1)]
    observed = {name: whole[:, column] for column, name in enumerate(space)}
    return sampler._parzen_estimator_cls(observed, space, sampler._parzen_estimator_parameters)


class _Numbers:
    """The parameters of trials as Optuna's internal numbers: a row for each trial, NaN where it lacks one."""

    def __init__(self) -> None:
        self.columns: dict[str, int] = {}
        self._kinds: dict[str, BaseDistribution] = {}
        self._rows: dict[tuple[int, bool], np.ndarray] = {}

    def learn(self, space: dict[str, BaseDistribution]) -> bool:
        """Give each parameter a column; whether one is new."""
        new = [name for name in space if name not in self.columns]
        for name in new:
            self.columns[name] = len(self.columns)
            self._kinds[name] = space[name]
        if new:
            self._rows.clear()
        return bool(new)

    def table(self, trials: Sequence[FrozenTrial]) -> np.ndarray:
        """(trials, parameters)."""
        rows = [self._row(trial) for trial in trials]
        return np.stack(rows) if rows else np.empty((0, len(self.columns)))

    def forget_others(self, trials: Sequence[FrozenTrial]) -> None:
        """Keep rows of ``trials`` alone."""
        kept = {_key(trial) for trial in trials}
        self._rows = {key: row for key, row in self._rows.items() if key in kept}

    def _row(self, trial: FrozenTrial) -> np.ndarray:
        key = _key(trial)
        if key not in self._rows:
            row = self._rows[key] = np.full(len(self.columns), np.nan)
            for name, value in _parameters(trial).items():
                if name in self.columns:
                    row[self.columns[name]] = self._kinds[name].to_internal_repr(value)
        return self._rows[key]


def _key(trial: FrozenTrial) -> tuple[int, bool]:
    # What a trial drew but did not ask for counts while it runs, and not when it has ended: as in Optuna.
    return trial.number, trial.state.is_finished()


def _parameters(trial: FrozenTrial) -> dict[str, Any]:
    if trial.state.is_finished():
        return trial.params
    texts: list[str] = []
    while text := trial.system_attrs.get(f"{_RELATIVE_PARAMS_KEY}:{len(texts)}"):
        texts.append(text)
    return {**(json.loads("".join(texts)) if texts else {}), **trial.params}


class _Groups(_GroupDecomposedSearchSpace):
    """Parameters that occur together, as Optuna's decomposition gives them; it changes with new combinations alone.

    Attributes:
        hold: give the groups of the last time, as a model of them is in use.
    """

    def __init__(self) -> None:
        super().__init__(include_pruned=True)
        self.hold = False
        self._found: dict[tuple[frozenset[str], ...], _SearchSpaceGroup] = {}

    def calculate(self, study: optuna.Study, use_cache: bool = False) -> _SearchSpaceGroup:
        """The groups of the trials that are shown."""
        if self.hold and self._found:
            return next(iter(self._found.values()))
        combinations: dict[frozenset[str], dict[str, BaseDistribution]] = {}
        for trial in study._get_trials(deepcopy=False, states=_USED[:2], use_cache=use_cache):
            combinations.setdefault(frozenset(trial.distributions), trial.distributions)
        key = tuple(combinations)
        if key not in self._found:
            group = _SearchSpaceGroup()
            for distributions in combinations.values():
                group.add_distributions(distributions)
            self._found = {key: group}
        return self._found[key]
