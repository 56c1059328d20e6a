"""The searcher that Ray Tune asks for runs and tells how they ended."""

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

from branchpoint.execution.attempt import running_record
from branchpoint.execution.run_spec import Outcome, RunSpec, Setup, known_outcomes
from branchpoint.execution.runs import Runs
from branchpoint.on_ray.start_barrier import StartBarrier
from branchpoint.store import Store

LOST_NODES = 20
"""How many lost nodes a run may survive: on preemptible machines, a loss says nothing about the run."""


class WorkerFailures(FIFOScheduler):
    """Keeps the error of a worker that died, which Tune tells its scheduler but not its searcher."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[str, str] = {}

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        path = trial.error_file
        self.reasons[trial.trial_id] = Path(path).read_text(errors="replace") if path else ""


class TuneSearcher(Searcher):
    """Gives Tune the runs of ``runs`` and records their epochs and outcomes.

    Its state lies in the journal and the store, so Tune's own snapshots are empty, and a killed driver is followed by
    a new Tune experiment instead of ``Tuner.restore``.

    Args:
        runs: the runs to execute.
        setup: settings of all runs.
        failures: errors of workers that died.
        barrier: is told of each run that is handed out.
        ended: called with each :class:`Outcome`.
    """

    def __init__(
        self,
        runs: Runs,
        setup: Setup,
        failures: WorkerFailures,
        barrier: StartBarrier,
        ended: Callable[[Outcome], None],
    ) -> None:
        super().__init__()
        self._runs, self._setup, self._failures, self._barrier, self._ended = runs, setup, failures, barrier, ended
        self._specs: dict[str, RunSpec] = {}
        self._again: deque[RunSpec] = deque()
        self._losses: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """Runs handed out and not ended."""
        return len(self._specs)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        spec = self._again.popleft() if self._again else self._runs.next()
        if spec is None:
            finished: Any = Searcher.FINISHED  # a text, which the base class's annotation leaves out
            # Tune never asks again after that, and each run that is under way may come back from a lost node.
            return finished if self._runs.exhausted and not self._specs else None
        self._specs[trial_id] = spec
        self._barrier.handed_out(spec.name)
        return {"spec": spec}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "outcome" not in result:
            self._barrier.begun(self._specs[trial_id].name)  # for workers on nodes that do not see the folder
            self._runs.report(self._specs[trial_id].name, result["epoch"], result["value"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        spec = self._specs.pop(trial_id)
        if result is not None and "outcome" in result and not error:
            outcome = Outcome(**json.loads(result["outcome"]))
        else:
            text = self._failures.reasons.pop(trial_id, "")
            if node_was_lost(text) and self._losses[spec.name] < LOST_NODES:
                # Tune itself tries a run again once, and never one whose worker had not started yet.
                self._losses[spec.name] += 1
                self._again.append(spec)
                return
            outcome = record_worker_failure(spec, self._setup, text)
        self._runs.tell(outcome)
        self._ended(outcome)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher for a restore that is never made

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: see the class."""


def record_worker_failure(spec: RunSpec, setup: Setup, text: str) -> Outcome:
    """Outcome of a run whose worker died: what it still wrote to the store, else a FAILED row that is written here."""
    store = Store(setup.store)
    known = known_outcomes(store, setup.study, setup.objective).get(spec.name)
    if known:
        return known
    attempts = max(1, setup.run_folder(spec.name).attempts)
    record = running_record(setup.study, spec.name, spec.config, spec.stage, attempts)
    outcome = Outcome(name=spec.name, state="FAILED", value=math.nan, reason=failure_reason(text), traceback=text)
    store.writer(setup.study).trial(replace(record, state="FAILED", reason=outcome.reason, finished=datetime.now(UTC)))
    return outcome


def node_was_lost(text: str) -> bool:
    """Whether Ray's report of a dead worker says that its whole node is gone."""
    return re.search(r"its node has died|NodeDiedError", text) is not None


def failure_reason(text: str) -> str:
    """One sentence from Ray's report of a dead worker."""
    if "OutOfMemory" in text or "running low on memory" in text:
        return "worker killed: its node ran out of memory; lower training.batch_size or the number of concurrent trials"
    lines = [line.strip() for line in text.splitlines() if re.search(r"Error|error|died|exit", line)]
    return f"worker died: {lines[-1] if lines else 'killed, out of memory, or its node was lost'}"[:500]
