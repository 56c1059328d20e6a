"""Optuna's journal of one study: a file that survives any kill, and a short list for samplers.

Optuna lists every trial for each suggestion, which makes a search of n trials cost n squared. Here samplers see the
latest ``RUNNING`` of the running trials and ``SHOWN`` finished ones, so that the thousandth suggestion costs what the
hundred-thousandth does. TPE models the best 25 at most as good ones and gives older ones less weight, so that it loses
little.
"""

from __future__ import annotations

import copy
import heapq
from collections import deque
from collections.abc import Container, Sequence
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

SHOWN = 500
"""Finished trials that a sampler sees: the best half and the latest half."""
RUNNING = 100
"""Running trials that a sampler sees, so that it does not propose the same again."""


class _HeldByStudy(JournalFileOpenLock):
    """The study's lock already keeps other processes out, and unlike a lock file it does not outlive a kill."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class ShortMemory(JournalStorage):
    """A journal that, once :meth:`forget` was called, lists waiting trials, few running ones and few finished ones;
    each can be asked for by its number."""

    def __init__(self, backend: JournalFileBackend, shown: int) -> None:
        super().__init__(backend)
        self._open: dict[int, TrialState] | None = None
        self._latest: deque[int] = deque(maxlen=shown - shown // 2)
        self._best: list[tuple[float, int]] = []
        self._most = shown // 2

    def forget(self, study_id: int, maximize: bool) -> None:
        """From now on list few trials of the study, the only one here."""
        trials = self.get_all_trials(study_id, deepcopy=False)
        self._sign = 1.0 if maximize else -1.0
        self._open = {}
        for trial in trials:
            self._note(trial)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        if self._open is not None:
            self._note(self.get_trial(trial_id))
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        changed = super().set_trial_state_values(trial_id, state, values)
        if changed and self._open is not None:
            self._note(self.get_trial(trial_id))
        return changed

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if self._open is None:
            return super().get_all_trials(study_id, deepcopy, states)
        waiting = [trial_id for trial_id, state in self._open.items() if state == TrialState.WAITING]
        running = [trial_id for trial_id, state in self._open.items() if state == TrialState.RUNNING]
        listed = sorted({*waiting, *running[-RUNNING:], *self._latest, *(trial_id for _, trial_id in self._best)})
        with self._thread_lock:
            self._sync_with_backend()
            found = [self._replay_result.get_trial(trial_id) for trial_id in listed]
        trials = [trial for trial in found if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _note(self, trial: FrozenTrial) -> None:
        assert self._open is not None
        if not trial.state.is_finished():
            self._open[trial._trial_id] = trial.state
            return
        self._open.pop(trial._trial_id, None)
        self._latest.append(trial._trial_id)
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            heapq.heappush(self._best, (self._sign * trial.value, trial._trial_id))
            if len(self._best) > self._most:
                heapq.heappop(self._best)


def open_journal(path: Path) -> ShortMemory:
    """Optuna's storage in ``path``; a line torn by a kill is cut off. Call it under the study's lock."""
    if path.exists():
        with path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
    return ShortMemory(JournalFileBackend(str(path), lock_obj=_HeldByStudy(str(path))), SHOWN)
