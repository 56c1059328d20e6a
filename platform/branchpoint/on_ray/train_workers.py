"""One run on several workers: Ray Train keeps them together, :func:`branchpoint.training.loop.fit` trains in each.

The process that calls :class:`WorkersFit` is the driver. It needs no core, receives the report of each epoch and
answers whether to continue. A worker that dies, or whose node is lost, ends the others too; Ray Train then restarts all
of them from the last checkpoint. An error of the run itself would only recur, so it ends the run at once.
"""

from __future__ import annotations

import importlib
import os
import shutil
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import cloudpickle
from ray.util import get_current_placement_group

from branchpoint.config import Config
from branchpoint.execution.resources import Resources
from branchpoint.io.storage import Place
from branchpoint.on_ray.gloo import torch_config
from branchpoint.on_ray.report_channel import open_channel

if TYPE_CHECKING:
    from branchpoint.datasets.cache.node_copy import Source
    from branchpoint.execution.run_spec import Fit, Setup
    from branchpoint.training.results import EpochReport, FitResult

ROOT_CAUSE_SECONDS = 5.0
"""How long a worker that lost another waits for that one's own error to arrive."""
_POLL_SECONDS = 0.2
_ENVIRONMENT = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5", "RAY_TRAIN_METRICS_ENABLED": "0"}


class WorkerError(Exception):
    """The traceback of a worker: the cause of what is raised in the driver."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0].rstrip()}\n"


@dataclass(frozen=True, kw_only=True)
class WorkersFit:
    """Trains as :func:`branchpoint.training.loop.fit` does, by several workers.

    Attributes:
        resources: workers and what each gets.
        folder: for what Ray Train writes, seen by every worker.
        source: where a worker whose node does not see the manifest gets the cohort from, once for each node.
        open_cohort: opens the manifest on each worker; ``None``: :func:`branchpoint.execution.run_spec.open_prepared`.
        fit: what each worker calls; ``None`` is :func:`branchpoint.training.loop.fit`.
        restarts: how many lost workers a run survives.
        reaper: frees the workers if the driver dies; see :mod:`branchpoint.on_ray.placement_reaper`.
    """

    resources: Resources
    folder: Path
    source: Source | None = None
    open_cohort: Callable[[Path], Any] | None = None
    fit: Fit | None = None
    restarts: int = 5
    reaper: Any = None

    def __call__(
        self,
        config: Config,
        prepared: Path,
        *,
        checkpoint_dir: Path | Place,
        checkpoint_seconds: float,
        report: Callable[[EpochReport], bool],
    ) -> FitResult:
        """Train; see :func:`branchpoint.training.loop.fit`.

        Args:
            prepared: manifest of the cohort.

        Raises:
            ray.train.TrainingFailedError: more workers were lost than ``restarts``.
            Exception: whatever ends the run on a worker, with that worker's traceback as its cause.
        """
        channel = open_channel()
        part = _Part(config, prepared, checkpoint_dir, checkpoint_seconds, channel, self)
        name = f"{os.getpid()}-{time.time_ns()}"
        with ThreadPoolExecutor(1, thread_name_prefix="trainer") as thread:
            try:
                training = thread.submit(self._train, part, name)
                _answer(channel, training, report)
                error = ray.get(channel.error.remote())
                if error is not None:
                    _raise(error)
                result: FitResult = cloudpickle.loads(training.result())
                return result
            finally:
                ray.kill(channel)
                shutil.rmtree(self.folder / name, ignore_errors=True)

    def _train(self, part: _Part, name: str) -> bytes:
        """Return value of the first worker, once all have ended."""
        # Its annotations are those of the interface before version 2 of Ray Train.
        train: Any = importlib.import_module("ray.train")
        trainers: Any = importlib.import_module("ray.train.torch")
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        gpus = self.resources.gpus
        trainer = trainers.TorchTrainer(
            _work,
            train_loop_config={"part": part},
            # NCCL takes no two workers on one GPU.
            torch_config=torch_config("nccl" if gpus >= 1 else "gloo"),
            scaling_config=train.ScalingConfig(
                num_workers=self.resources.workers,
                use_gpu=gpus > 0,
                resources_per_worker=self.resources.request,
            ),
            run_config=train.RunConfig(
                name=name,
                storage_path=str(self.folder),
                failure_config=train.FailureConfig(max_failures=self.restarts),
                logging_config=train.LoggingConfig(log_level="ERROR"),
            ),
        )
        result: bytes = trainer.fit().return_value
        return result


def with_workers(setup: Setup, resources: Resources, reaper: Any = None) -> Setup:
    """``setup`` whose runs are trained by several workers, with a checkpoint after each epoch.

    The driver of a run does not open the cohort. Where drivers are actors, ``reaper`` frees the workers of one that
    dies; where they are threads of this process, Ray does at its end.
    """
    fit = WorkersFit(
        resources=resources,
        folder=setup.folder / "ray",
        source=setup.source,
        open_cohort=setup.open_cohort,
        fit=setup.fit,
        reaper=reaper,
    )
    return replace(setup, fit=fit, open_cohort=Path, checkpoint_seconds=0.0)


@dataclass(frozen=True)
class _Part:
    """Arguments of every worker; ``by`` is the driver's :class:`WorkersFit`."""

    config: Config
    prepared: Path
    checkpoint_dir: Path | Place
    checkpoint_seconds: float
    channel: Any
    by: WorkersFit


def _answer(channel: Any, training: Future[bytes], report: Callable[[EpochReport], bool]) -> None:
    """Pass on the workers' reports until they have ended, then raise what ``report`` raised, if it did."""
    failure: Exception | None = None
    while (entry := ray.get(channel.next.remote(_POLL_SECONDS))) is not None or not training.done():
        if entry is None:
            continue
        go_on = False
        if failure is None:
            try:
                go_on = report(cloudpickle.loads(entry))
            except Exception as error:
                failure = error
        ray.get(channel.answer.remote(go_on))
    if failure is not None:
        raise failure


def _work(settings: dict[str, Any]) -> bytes | None:
    """Body of one worker."""
    from ray import train

    from branchpoint.training.errors import WorkerLost

    part: _Part = settings["part"]
    if ray.get(part.channel.error.remote()) is not None:
        return None  # begun anew only because the error of a worker took others with it
    first = train.get_context().get_world_rank() == 0
    if first and part.by.reaper is not None:
        ray.get(part.by.reaper.watch.remote(get_current_placement_group(), part.channel))
    try:
        result = _fit(part, first)
        return cloudpickle.dumps(result) if first else None
    except WorkerLost:
        if ray.get(part.channel.error.remote(ROOT_CAUSE_SECONDS)) is None:
            raise
    except Exception as error:
        ray.get(part.channel.fail.remote(_packed(error)))
        raise  # Ray Train ends the others, which may be waiting for this one, and begins anew only to hear of it
    return None


def _fit(part: _Part, first: bool) -> FitResult:
    from branchpoint.execution.attempt import training_fit
    from branchpoint.execution.run_spec import open_prepared

    def report(entry: EpochReport) -> bool:
        return not first or ray.get(part.channel.report.remote(cloudpickle.dumps(entry)))

    by = part.by
    fit = by.fit or training_fit(by.resources.cpus, by.resources.gpus)
    result = fit(
        part.config,
        by.open_cohort(part.prepared) if by.open_cohort else open_prepared(part.prepared, by.source),
        checkpoint_dir=part.checkpoint_dir,
        checkpoint_seconds=part.checkpoint_seconds,
        report=report,
    )
    return replace(result, network=result.network.cpu()) if result.network is not None else result


def _packed(error: Exception) -> bytes:
    text = traceback.format_exc()
    try:
        packed = cloudpickle.dumps((error, text))
        cloudpickle.loads(packed)
    except Exception:  # of a class that cannot be sent
        packed = cloudpickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), text))
    return packed


def _raise(packed: bytes) -> None:
    error, text = cloudpickle.loads(packed)
    raise error from WorkerError(text)
