"""Runs on Ray Tune: each in a worker process that serves one run after another, so that torch is imported once."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from typing import Any

import ray
from ray import tune

from branchpoint.search.halving import Halving, HalvingConfig
from branchpoint.search.progress import Progress
from branchpoint.search.searcher import Deaths, Runs, TuneSearcher
from branchpoint.search.session import Resources
from branchpoint.search.trial import Setup, Work, execute
from branchpoint.store import Store


def run_all(runs: Runs, setup: Setup, resources: Resources, concurrency: int, progress: Progress) -> None:
    """Run until ``runs`` is exhausted; on return the store holds how each ended.

    A run whose worker dies (killed, out of memory, node lost) is tried once more, from its last checkpoint.
    """
    deaths = Deaths()
    searcher = TuneSearcher(runs, setup, deaths, progress.ended)
    folder = setup.folder / "ray"
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_trainable, setup=setup), resources.request),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=deaths,
            num_samples=-1,
            max_concurrent_trials=concurrency,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder),
            name=f"driver-{os.getpid()}",
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
            callbacks=[_Ticks(progress, searcher)],
        ),
    )
    tuner.fit()
    shutil.rmtree(folder, ignore_errors=True)


def _trainable(config: dict[str, Any], setup: Setup) -> None:
    def report(epoch: int, value: float) -> None:
        tune.report({"epoch": epoch, "value": value})

    outcome = execute(Work.from_json(config["work"]), setup, report)
    tune.report({"outcome": json.dumps(asdict(outcome))})


class _Ticks(tune.Callback):
    """The minute's line."""

    def __init__(self, progress: Progress, searcher: TuneSearcher) -> None:
        self._progress, self._searcher = progress, searcher

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that is never made

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._progress.tick(self._searcher.running)


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
