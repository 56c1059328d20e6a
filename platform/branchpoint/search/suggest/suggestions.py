"""What to try next, and what came of it: Optuna's ask and tell with honest states, without Ray.

Ray Tune's own ``OptunaSearch`` tells pruned and crashed trials as complete, leaves NaN trials running for ever and
repeats configurations. Here

- a finished trial is told COMPLETE with its value, one that was stopped early PRUNED with its last value, one that
  crashed or gave NaN FAIL;
- a configuration that the study has seen is never started again: it is told with the known value or state of the
  first one, and another is asked for, at most ``MAX_ASKS`` times (the last of them at random);
- an infeasible one (the space or ``feasible`` rejects it) is never started: told PRUNED with a violated constraint,
  so that the sampler steers away from it (Optuna has no state for it; the store says INFEASIBLE);
- trials that a killed driver left running come first, under their old numbers;
- each ask gets a sampler seeded by (seed, trial number), so that runs are repeatable and a resumed search does not
  repeat its random draws.

The sampler is one of Optuna's own, by default multivariate TPE. The journal file survives any kill; what is in the
store counts where the two differ.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from branchpoint.config import Config
from branchpoint.search.space.points import Space
from branchpoint.search.suggest.journal import open_journal
from branchpoint.search.suggest.samplers import RANDOM, TPE, make_sampler

Feasible = Callable[[Config], str | None]

TPE_ASKS = 10
MAX_ASKS = 50
_TOLD = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}


@dataclass(frozen=True)
class Suggestion:
    """A trial to run: ``name`` is its number as text, such as ``0007``."""

    name: str
    config: Config


@dataclass(frozen=True)
class Known:
    """What the store holds of a finished trial; ``value`` is the objective, NaN where there is none."""

    state: str
    value: float


class Suggestions:
    """Trials of one study.

    Args:
        journal: Optuna's journal file; made where it is missing.
        study: its name.
        space: suggests the values of a Config and returns it; may raise ValueError where they do not fit together.
        base: what all candidates share.
        points: parameter values that come first, see :mod:`branchpoint.search.space.points`.
        prior: parameter values that come next; what they leave open is sampled.
        fixed: parameter values that the sampler does not vary.
        sampler: one of :data:`branchpoint.search.suggest.samplers.SAMPLERS`.
        trials: how many to start at most; duplicates and infeasible ones do not count.
        seed: of the sampler.
        maximize: whether greater values are better.
        feasible: reason why a Config cannot be trained, or ``None``.
        finished: what the store holds of this study, by trial name.
        reject: called with (name, Config or None, parameters, reason) for each infeasible trial before it is told.
    """

    def __init__(
        self,
        journal: Path,
        study: str,
        space: Space,
        base: Config,
        *,
        points: Sequence[Mapping[str, Any]] = (),
        prior: Sequence[Mapping[str, Any]] = (),
        fixed: Mapping[str, Any] | None = None,
        sampler: str = TPE,
        trials: int,
        seed: int = 0,
        maximize: bool = True,
        feasible: Feasible = lambda config: None,
        finished: Mapping[str, Known] | None = None,
        reject: Callable[[str, Config | None, Mapping[str, Any], str], None] = lambda *_: None,
    ) -> None:
        self.space, self.base, self.trials, self.seed = space, base, trials, seed
        self.feasible, self.reject, self.fixed = feasible, reject, dict(fixed or {})
        self.sampler = sampler
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = open_journal(journal)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=study,
            direction="maximize" if maximize else "minimize",
            load_if_exists=True,
        )
        self._first_of: dict[str, int] = {}
        self._refused: set[str] = set()
        self._running: dict[str, int] = {}
        self._interrupted: deque[Suggestion] = deque()
        self._waiting_for_news = False
        self._recall(finished or {})
        for point in points:
            self._study.enqueue_trial(dict(point), skip_if_exists=True)
        begun = sum("prior" in trial.user_attrs for trial in self._trials())
        for number, point in enumerate(prior[begun:], start=begun):
            self._study.enqueue_trial(dict(point), user_attrs={"prior": number})
        self._total = len(self._trials())
        self._startup_trials = max(4, min(10, trials // 3))

    @property
    def started(self) -> int:
        """Trials handed out so far, in this start of the job and in earlier ones."""
        return len(self._first_of)

    @property
    def running(self) -> int:
        """Trials handed out and not told."""
        return len(self._running)

    @property
    def interrupted(self) -> bool:
        """Whether trials are waiting that an earlier start left unfinished."""
        return bool(self._interrupted)

    @property
    def exhausted(self) -> bool:
        """No further trial will come: the budget is spent, or the space holds nothing new."""
        if self._interrupted:
            return False
        return self.started >= self.trials or (self._waiting_for_news and not self._running)

    def stop(self) -> None:
        """Start no further trial; those that were interrupted still come."""
        self.trials = self.started

    def next(self) -> Suggestion | None:
        """A trial to start, or ``None`` where there is none now."""
        if self._interrupted:
            interrupted = self._interrupted.popleft()
            self._running[interrupted.name] = int(interrupted.name)
            return interrupted
        if self.started >= self.trials or self._waiting_for_news:
            return None
        for ask in range(MAX_ASKS):
            suggestion = self._ask(at_random=ask >= TPE_ASKS)
            if suggestion:
                return suggestion
        self._waiting_for_news = True
        return None

    def report(self, name: str, epoch: int, value: float) -> None:
        """Objective of a running trial after ``epoch``; repeating one is allowed and has no effect."""
        trial_id = self._trial_id(self._running[name])
        if math.isfinite(value) and epoch not in self._storage.get_trial(trial_id).intermediate_values:
            self._storage.set_trial_intermediate_value(trial_id, epoch, float(value))

    def tell(self, name: str, state: str, value: float) -> None:
        """A trial ended as COMPLETE, PRUNED or FAILED; COMPLETE without a finite value is told FAIL."""
        number = self._running.pop(name)
        self._waiting_for_news = False
        self._tell(number, Known(state, value))

    def _recall(self, finished: Mapping[str, Known]) -> None:
        """Bring the journal to what the store holds, and queue what was interrupted."""
        for trial in self._trials():
            if trial.state == TrialState.WAITING:
                continue
            name, text = f"{trial.number:04d}", trial.user_attrs.get("config")
            config = Config.from_json(text) if text else None
            if config:
                self._first_of[config.fingerprint] = trial.number
            if "infeasible" in trial.user_attrs and name in finished:
                self._refused.add(_key(trial.params))
            if trial.state == TrialState.RUNNING:
                self._recall_running(trial, name, config, finished.get(name))
            elif config and name not in finished:
                raise ValueError(
                    f"trial {name} of study {self._study.study_name!r} is finished in its journal but absent from the "
                    "store: the store was changed or is another one; give the study's own --store, or a new --study"
                )
        strangers = sorted(set(finished) - {f"{trial.number:04d}" for trial in self._trials()})
        if strangers:
            raise ValueError(
                f"the store holds trial {strangers[0]} of study {self._study.study_name!r}, of which its journal knows "
                "nothing: its state folder was lost; give another --study name"
            )

    def _recall_running(self, trial: FrozenTrial, name: str, config: Config | None, known: Known | None) -> None:
        if config and known:
            self._tell(trial.number, known)
        elif config:
            self._interrupted.append(Suggestion(name, config))
        elif "infeasible" in trial.user_attrs:
            if not known and _key(trial.params) not in self._refused:
                self._refused.add(_key(trial.params))
                self.reject(name, None, trial.params, trial.user_attrs["infeasible"])
            self._study.tell(trial.number, state=TrialState.PRUNED)
        else:
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _ask(self, at_random: bool) -> Suggestion | None:
        """One trial of Optuna, or ``None`` where it turned out a duplicate or infeasible."""
        self._study.sampler = self._sampler(self._total, at_random)
        trial = self._study.ask()
        self._total = max(self._total, trial.number + 1)
        try:
            config = self.space(trial, self.base)
        except ValueError as problem:
            self._refuse(trial, None, str(problem))
            return None
        if config.fingerprint in self._first_of:
            self._tell_duplicate(trial, self._first_of[config.fingerprint])
            return None
        if reason := self._feasible(config):
            self._refuse(trial, config, reason)
            return None
        name = f"{trial.number:04d}"
        trial.set_user_attr("config", config.to_json())
        self._first_of[config.fingerprint] = self._running[name] = trial.number
        return Suggestion(name, config)

    def _feasible(self, config: Config) -> str | None:
        try:
            return self.feasible(config)
        except ValueError as problem:
            return str(problem)

    def _refuse(self, trial: optuna.Trial, config: Config | None, reason: str) -> None:
        trial.set_user_attr("infeasible", reason)
        trial.set_constraint("feasible", 1.0)
        if _key(trial.params) not in self._refused:
            self._refused.add(_key(trial.params))
            self.reject(f"{trial.number:04d}", config, trial.params, reason)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _tell_duplicate(self, trial: optuna.Trial, first: int) -> None:
        trial.set_user_attr("duplicate_of", first)
        known = self._storage.get_trial(self._trial_id(first))
        if known.state == TrialState.COMPLETE:
            self._study.tell(trial, known.value)
        elif known.state == TrialState.PRUNED and known.value is not None:
            trial.report(known.value, max(known.intermediate_values))
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _tell(self, number: int, known: Known) -> None:
        state = _TOLD.get(known.state, TrialState.FAIL)
        if state == TrialState.COMPLETE and not math.isfinite(known.value):
            state = TrialState.FAIL
        self._study.tell(number, known.value if state == TrialState.COMPLETE else None, state=state)

    def _sampler(self, number: int, at_random: bool) -> optuna.samplers.BaseSampler:
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        if at_random:
            return make_sampler(RANDOM, seed, 0, self.fixed)
        return make_sampler(
            self.sampler, self.seed if self.sampler == "qmc" else seed, self._startup_trials, self.fixed
        )

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trial_id(self, number: int) -> int:
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, number)


def _key(parameters: Mapping[str, Any]) -> str:
    return json.dumps(dict(parameters), sort_keys=True)
