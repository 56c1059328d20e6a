"""One process that all workers ask whether their trial should stop; light, as it imports neither Tune nor torch."""

from __future__ import annotations

from typing import Any

import ray

from branchpoint.execution.halving import Halving, HalvingConfig
from branchpoint.execution.run_spec import Setup
from branchpoint.store import Store


class RemoteJudge:
    """The rule of successive halving in one process that all workers ask.

    It fills its rungs from the store when it starts, also when it is started again after its node was lost.
    """

    def __init__(self, config: HalvingConfig, epochs: int, maximize: bool, setup: Setup) -> None:
        rule = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Rule)
        self._actor: Any = rule.remote(config, epochs, maximize, setup)

    def __call__(self, trial: str, epoch: int, value: float) -> str | None:
        reason: str | None = ray.get(self._actor.judge.remote(trial, epoch, value))
        return reason


class _Rule:
    def __init__(self, config: HalvingConfig, epochs: int, maximize: bool, setup: Setup) -> None:
        self.halving = Halving(config, epochs, maximize)
        rows = Store(setup.store).epochs(setup.study, columns=["metrics"]).to_pylist()
        values = [(row["trial"], row["epoch"], dict(row["metrics"]).get(setup.objective, float("nan"))) for row in rows]
        self.halving.recall(sorted(values, key=lambda value: value[1]))

    def judge(self, trial: str, epoch: int, value: float) -> str | None:
        return self.halving.judge(trial, epoch, value)
