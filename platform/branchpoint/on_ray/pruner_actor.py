"""The actor that all workers ask whether their trial should stop; it imports neither Tune nor torch."""

from __future__ import annotations

from typing import Any

import ray

from branchpoint.execution.halving import Halving
from branchpoint.execution.run_spec import Setup
from branchpoint.store import Store


class RemotePruner:
    """A pruner by successive halving that all workers share.

    Its actor fills the rungs of ``rule`` from the store when it starts, and again when it is restarted after a lost
    node.
    """

    def __init__(self, rule: Halving, setup: Setup) -> None:
        pruner = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Pruner)
        self._actor: Any = pruner.remote(rule, setup)

    def __call__(self, trial: str, epoch: int, value: float) -> str | None:
        reason: str | None = ray.get(self._actor.stop_reason.remote(trial, epoch, value))
        return reason


class _Pruner:
    def __init__(self, rule: Halving, setup: Setup) -> None:
        self.halving = rule
        rows = Store(setup.store).epochs(setup.study, columns=["metrics"]).to_pylist()
        values = [(row["trial"], row["epoch"], dict(row["metrics"]).get(setup.objective, float("nan"))) for row in rows]
        self.halving.recall(sorted(values, key=lambda value: value[1]))

    def stop_reason(self, trial: str, epoch: int, value: float) -> str | None:
        return self.halving.stop_reason(trial, epoch, value)
