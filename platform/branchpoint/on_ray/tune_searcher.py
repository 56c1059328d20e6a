"""Ray Tune's view of a search: hands out runs, hears how they end."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from branchpoint.config import Config
from branchpoint.execution.attempt import running_record
from branchpoint.execution.run_spec import Outcome, Setup, Work, known_outcomes
from branchpoint.execution.runs import Runs
from branchpoint.on_ray.start_barrier import StartGate
from branchpoint.store import Store

LOST_NODES = 20
"""How many lost nodes a run outlives: on machines that come and go, a loss says nothing about the run."""


class Deaths(FIFOScheduler):
    """Keeps why a worker died, which Tune tells its scheduler but not its searcher."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[str, str] = {}

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        path = trial.error_file
        self.reasons[trial.trial_id] = Path(path).read_text(errors="replace") if path else ""


class TuneSearcher(Searcher):
    """Gives Tune the runs of ``runs`` and hears of their epochs and ends.

    Its state lies in the journal and the store, so Tune's own snapshots are empty, and a killed driver is followed by
    a new Tune experiment instead of ``Tuner.restore``.

    Args:
        runs: what is to be run.
        setup: as the workers have it.
        deaths: of workers.
        gate: hears of each run that is handed out.
        ended: called with each :class:`Outcome`.
    """

    def __init__(
        self, runs: Runs, setup: Setup, deaths: Deaths, gate: StartGate, ended: Callable[[Outcome], None]
    ) -> None:
        super().__init__()
        self._runs, self._setup, self._deaths, self._gate, self._ended = runs, setup, deaths, gate, ended
        self._work: dict[str, Work] = {}
        self._again: deque[Work] = deque()
        self._losses: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """Runs handed out and not ended."""
        return len(self._work)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        work = self._again.popleft() if self._again else self._runs.next()
        if work is None:
            finished: Any = Searcher.FINISHED  # a text, which the base class's annotation leaves out
            # Tune never asks again after that, and each run that is under way may come back from a lost node.
            return finished if self._runs.exhausted and not self._work else None
        self._work[trial_id] = work
        self._gate.handed_out(work.name)
        return {"work": work.to_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "outcome" not in result:
            self._gate.begun(self._work[trial_id].name)  # a worker that does not see the gate's folder cannot say so
            self._runs.report(self._work[trial_id].name, result["epoch"], result["value"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        work = self._work.pop(trial_id)
        if result is not None and "outcome" in result and not error:
            outcome = Outcome(**json.loads(result["outcome"]))
        else:
            text = self._deaths.reasons.pop(trial_id, "")
            if node_was_lost(text) and self._losses[work.name] < LOST_NODES:
                # Tune itself tries a run again once, and never one whose worker had not started yet.
                self._losses[work.name] += 1
                self._again.append(work)
                return
            outcome = record_death(work, self._setup, text)
        self._runs.tell(outcome)
        self._ended(outcome)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher for a restore that is never made

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: see the class."""


def record_death(work: Work, setup: Setup, text: str) -> Outcome:
    """What became of a run whose worker died: what it still wrote to the store, else a FAILED row written here."""
    store = Store(setup.store)
    known = known_outcomes(store, setup.study, setup.objective).get(work.name)
    if known:
        return known
    attempts = max(1, setup.run_folder(work.name).attempts)
    record = running_record(setup.study, work.name, Config.from_json(work.config), work.stage, attempts)
    outcome = Outcome(name=work.name, state="FAILED", value=math.nan, reason=death_reason(text), traceback=text)
    store.writer(setup.study).trial(replace(record, state="FAILED", reason=outcome.reason, finished=datetime.now(UTC)))
    return outcome


def node_was_lost(text: str) -> bool:
    """Whether Ray's report of a dead worker says that its whole node is gone."""
    return re.search(r"its node has died|NodeDiedError", text) is not None


def death_reason(text: str) -> str:
    """One sentence from Ray's report of a dead worker."""
    if "OutOfMemory" in text or "running low on memory" in text:
        return "worker killed: its node ran out of memory; lower training.batch_size or the number of concurrent trials"
    lines = [line.strip() for line in text.splitlines() if re.search(r"Error|error|died|exit", line)]
    return f"worker died: {lines[-1] if lines else 'killed, out of memory, or its node was lost'}"[:500]
