"""Runs on Ray Tune: each in a worker process that serves one run after another, so that torch is imported once."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict
from typing import Any

from ray import tune

from branchpoint.execution.attempt import execute
from branchpoint.execution.progress import Progress
from branchpoint.execution.resources import Resources
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.execution.runs import Runs
from branchpoint.on_ray.placement_reaper import start_reaper
from branchpoint.on_ray.start_barrier import StartBarrier
from branchpoint.on_ray.train_workers import with_workers
from branchpoint.on_ray.tune_searcher import TuneSearcher, WorkerFailures

DRIVER = {"memory": 1.0}
"""Request of a trial whose workers hold the resources: one byte, as Tune accepts no empty request."""


def run_all(runs: Runs, setup: Setup, resources: Resources, concurrency: int, progress: Progress) -> None:
    """Run until ``runs`` is exhausted; on return the store holds the outcome of each run.

    A run whose worker dies (killed, out of memory, node lost) is tried once more, from its last checkpoint. The driver
    of a run with several workers takes no resources of its own: drivers that held cores could keep all workers waiting.
    """
    failures = WorkerFailures()
    folder = setup.folder / "ray"
    request = resources.request
    if resources.workers > 1:
        setup, request = with_workers(setup, resources, start_reaper()), dict(DRIVER)
    name = f"driver-{os.getpid()}-{time.time_ns()}"
    barrier = StartBarrier(folder / f"{name}-barrier")
    searcher = TuneSearcher(runs, setup, failures, barrier, progress.ended)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_trainable, setup=setup, barrier=barrier), request),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=failures,
            num_samples=-1,
            max_concurrent_trials=concurrency,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder),
            name=name,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
            callbacks=[_ProgressCallback(progress, searcher)],
        ),
    )
    tuner.fit()
    shutil.rmtree(folder, ignore_errors=True)


def _trainable(config: dict[str, Any], setup: Setup, barrier: StartBarrier) -> None:
    def report(epoch: int, value: float) -> None:
        tune.report({"epoch": epoch, "value": value})

    spec: RunSpec = config["spec"]
    barrier.begun(spec.name)
    outcome = execute(spec, setup, report)
    barrier.wait()
    tune.report({"outcome": json.dumps(asdict(outcome))})


class _ProgressCallback(tune.Callback):
    """Lets the progress report speak once a minute."""

    def __init__(self, progress: Progress, searcher: TuneSearcher) -> None:
        self._progress, self._searcher = progress, searcher

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that is never made

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._progress.tick(self._searcher.running)
