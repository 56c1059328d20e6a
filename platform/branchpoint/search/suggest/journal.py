"""Optuna's journal of one study: a file that survives any kill, and a short list for samplers.

Optuna lists every trial for each suggestion, which makes a search of n trials cost n squared. Here samplers see the
latest ``RUNNING`` of the running trials and ``SHOWN`` finished ones, so that the thousandth suggestion costs what the
hundred-thousandth does. TPE models the best 25 at most as good ones and gives older ones less weight, so that it loses
little.
"""

from __future__ import annotations

import copy
import heapq
import json
import os
from collections import deque
from collections.abc import Container, Generator, Sequence
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers._tpe.sampler import _RELATIVE_PARAMS_KEY
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState

SHOWN = 500
"""Finished trials that a sampler sees: the best half and the latest half."""
RUNNING = 100
"""Running trials that a sampler sees, so that it does not propose the same again."""
_DRAWN_AHEAD = f"{_RELATIVE_PARAMS_KEY}:"
_SYNCED = (
    JournalOperation.CREATE_STUDY,
    JournalOperation.SET_TRIAL_USER_ATTR,  # the Config, or why there is none: the last line before a trial starts
    JournalOperation.SET_TRIAL_STATE_VALUES,
)


class _HeldByStudy(JournalFileOpenLock):
    """The study's lock already keeps other processes out, and unlike a lock file it does not outlive a kill."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class _StudyFile(JournalFileBackend):
    """Lines that one process writes and reads on from where it was.

    The disk has them for certain when a trial is handed out or told, not before: a value that was drawn a millisecond
    ago is worth no wait for the disk, and a kill loses no line that was written.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, lock_obj=_HeldByStudy(path))
        self._place = 0, 0  # lines read, and their bytes

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        number, offset = self._place if self._place[0] <= log_number_from else (0, 0)
        with open(self._file_path, "rb") as file:
            file.seek(offset)
            for line in file:
                number, offset = number + 1, offset + len(line)
                self._place = number, offset
                if number > log_number_from:
                    yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with open(self._file_path, "ab", buffering=0) as file:
            file.write(lines.encode())
            if any(log["op_code"] in _SYNCED for log in logs):
                os.fsync(file.fileno())


class ShortMemory(JournalStorage):
    """A journal that, once :meth:`forget` was called, lists waiting trials, few running ones and few finished ones;
    each can be asked for by its number.

    Attributes:
        finished: trials that have ended, as far as counted since :meth:`forget`, which counts all before.
    """

    def __init__(self, backend: _StudyFile, shown: int) -> None:
        super().__init__(backend)
        self._open: dict[int, TrialState] | None = None
        self._latest: deque[int] = deque(maxlen=shown - shown // 2)
        self._best: list[tuple[float, int]] = []
        self._most = shown // 2
        self.finished = 0
        self._kinds: dict[tuple[str, BaseDistribution], BaseDistribution] = {}

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
        self._slim(trial)
        self.finished += 1
        self._latest.append(trial._trial_id)
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            heapq.heappush(self._best, (self._sign * trial.value, trial._trial_id))
            if len(self._best) > self._most:
                heapq.heappop(self._best)

    def _slim(self, trial: FrozenTrial) -> None:
        """In memory alone: what was drawn ahead is of no use any more, and equal distributions become one object, as
        thousands of trials are kept."""
        trial.system_attrs = {name: v for name, v in trial.system_attrs.items() if not name.startswith(_DRAWN_AHEAD)}
        trial._distributions = {
            name: self._kinds.setdefault((name, kind), kind) for name, kind in trial.distributions.items()
        }


def open_journal(path: Path) -> ShortMemory:
    """Optuna's storage in ``path``; a line torn by a kill is cut off. Call it under the study's lock."""
    if path.exists():
        with path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
    return ShortMemory(_StudyFile(str(path)), SHOWN)
