"""``fit``: trains the network that a Config describes, alone or as one of several workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint import networks
from branchpoint.config import Config
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.io.storage import Place
from branchpoint.training.devices.distributed import Workers
from branchpoint.training.devices.memory import peak_memory_bytes, reset_peak_memory
from branchpoint.training.devices.randomness import TRAINING, derived_seed
from branchpoint.training.epoch import train_epoch
from branchpoint.training.errors import memory_errors_named
from branchpoint.training.results import EpochReport, FitResult, RunCost
from branchpoint.training.run import Run, build_run, local_batch_size
from branchpoint.training.state.checkpoint import BackgroundWriter, Checkpoints
from branchpoint.training.validation import validate

__all__ = ["EpochReport", "FitResult", "RunCost", "fit"]


@dataclass
class _Progress:
    """What a run has reached, beside the state of network, optimiser and balancer."""

    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    peak_memory_bytes: int = 0


def fit(
    config: Config,
    prepared: PreparedCohort,
    *,
    checkpoint_dir: Path | Place | None = None,
    checkpoint_seconds: float = 0.0,
    report: Callable[[EpochReport], bool] | None = None,
    device: torch.device | str | None = None,
) -> FitResult:
    """Train on the training split, choose the best epoch on the validation split; the test split is not touched.

    With ``torch.distributed`` initialised, every worker calls this with the same arguments; the global batches, and
    with them the result, are those of one worker, up to rounding. A run that is cut off and called again with the
    same ``checkpoint_dir`` goes on after its last checkpoint; on the CPU, and with as many workers, it then gives bit
    for bit what an unbroken run gives.

    Args:
        config: the whole run.
        prepared: its cohort.
        checkpoint_dir: where (path, or place in a bucket) an epoch's state is kept and a run that was cut off goes on
            from; the first worker's. It is written while the next epoch trains, and is there when the one after it is
            begun, or on return.
        checkpoint_seconds: time between checkpoints; 0 writes one after each epoch. Short epochs take less time
            than writing their checkpoint.
        report: called after each epoch by every worker; ``False`` from any ends the run. A run that goes on reports
            the last epoch of its checkpoint again.
        device: ``None`` takes the current GPU, or the CPU where there is none.

    Raises:
        ValueError: Config and cohort do not fit, or ``checkpoint_dir`` holds another run.
        TrainingDiverged: a loss is not finite.
        TrainingOutOfMemory: a batch does not fit.
    """
    device = _device(device)
    reset_peak_memory(device)
    with _settings(device), memory_errors_named(_batch_shape(config), config.training.precision, device):
        run = build_run(config, prepared, device)
        checkpoints = _checkpoints(run, checkpoint_dir)
        progress = _resumed(run, checkpoints)
        # The report of the epoch that was checkpointed last may have been lost with whoever was to hear of it.
        stopped = _told(run, report, progress.history[-1]) if progress.history else False
        saved = time.monotonic()
        with BackgroundWriter(checkpoints) if checkpoints is not None else nullcontext() as writer:
            while len(progress.history) < config.training.epochs and not stopped:
                entry = _one_epoch(run, progress)
                if writer is not None and time.monotonic() - saved >= checkpoint_seconds:
                    writer.save(entry.epoch, _state(run, progress))
                    saved = time.monotonic()
                stopped = _told(run, report, entry)
    return _result(run, progress, stopped)


def _told(run: Run, report: Callable[[EpochReport], bool] | None, entry: EpochReport) -> bool:
    """Report an epoch; whether any worker's report ends the run."""
    return any(run.workers.gather_objects(report is not None and report(entry) is False))


def _one_epoch(run: Run, progress: _Progress) -> EpochReport:
    started = time.perf_counter()
    epoch = len(progress.history) + 1
    torch.manual_seed(derived_seed(run.config.seed, TRAINING, epoch))
    metrics = {f"train/{name}": value for name, value in train_epoch(run, epoch).items()}
    metrics |= {f"validation/{name}": value for name, value in validate(run, run.folds.validation, epoch).items()}
    entry = EpochReport(epoch, metrics, time.perf_counter() - started)
    progress.history.append(entry)
    if progress.best_epoch == 0 or _better(run.config, metrics, progress.history[progress.best_epoch - 1].metrics):
        progress.best_epoch = epoch
        progress.best_weights = _copied(run.network.state_dict())
    peaks = run.workers.gather_objects(peak_memory_bytes(run.device))
    progress.peak_memory_bytes = max(progress.peak_memory_bytes, *peaks)
    return entry


def _better(config: Config, metrics: Mapping[str, float], best: Mapping[str, float]) -> bool:
    if config.training.select_by == "score":
        return metrics["validation/score"] > best["validation/score"]
    return metrics["validation/loss"] < best["validation/loss"]


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in weights.items()
    }


def _result(run: Run, progress: _Progress, stopped: bool) -> FitResult:
    run.network.load_state_dict(progress.best_weights)
    run.network.eval().to(memory_format=torch.contiguous_format)
    seconds = [entry.seconds for entry in progress.history]
    cost = networks.estimate(run.config)
    return FitResult(
        best_epoch=progress.best_epoch,
        metrics=progress.history[progress.best_epoch - 1].metrics,
        history=tuple(progress.history),
        network=run.network,
        stopped=stopped,
        notes=run.notes,
        cost=RunCost(
            parameters=cost.parameters,
            macs=cost.macs,
            peak_memory_bytes=progress.peak_memory_bytes,
            epoch_seconds=float(np.median(seconds)),
            gpu_seconds=sum(seconds) * run.workers.size if run.device.type == "cuda" else 0.0,
        ),
    )


def _checkpoints(run: Run, folder: Path | Place | None) -> Checkpoints | None:
    """The first worker's; the others write none."""
    return Checkpoints(folder, run.identity) if folder is not None and run.workers.rank == 0 else None


def _state(run: Run, progress: _Progress) -> dict[str, Any]:
    return {
        "weights": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "balancer": run.balancer.state_dict(),
        "teacher": run.teacher.network.state_dict() if run.teacher is not None else {},
        "config": run.config.to_json(),
        "history": [(entry.epoch, dict(entry.metrics), entry.seconds) for entry in progress.history],
        "best_epoch": progress.best_epoch,
        "best_weights": progress.best_weights,
        "peak_memory_bytes": progress.peak_memory_bytes,
    }


def _resumed(run: Run, checkpoints: Checkpoints | None) -> _Progress:
    """Take up the newest checkpoint on every worker; the schedule and random numbers follow from the epoch."""
    state: Any
    try:
        state = checkpoints.newest() if checkpoints is not None else None
    except ValueError as refusal:
        state = refusal  # to be raised by all workers: the others would wait for ever
    state = run.workers.from_first(state)
    if isinstance(state, ValueError):
        raise state
    if state is None:
        return _Progress()
    run.network.load_state_dict(state["weights"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.balancer.load_state_dict(state["balancer"])
    if run.teacher is not None:
        run.teacher.network.load_state_dict(state["teacher"])
    history = [EpochReport(*entry) for entry in state["history"]]
    return _Progress(history, state["best_epoch"], state["best_weights"], state["peak_memory_bytes"])


def _device(device: torch.device | str | None) -> torch.device:
    device = torch.device(device if device is not None else "cuda" if torch.cuda.is_available() else "cpu")
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


def _batch_shape(config: Config) -> tuple[int, ...]:
    """(B, C, [D,] H, W) of what one worker passes through the network at once."""
    return (local_batch_size(config, Workers()), config.network.in_channels, *config.dataset.size_voxels)


@contextmanager
def _settings(device: torch.device) -> Iterator[None]:
    """Leave the caller's random numbers alone, and let cuDNN choose its fastest convolutions: sizes are fixed."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if device.type != "cuda":
            yield
            return
        benchmark, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
        try:
            with torch.cuda.device(device):
                yield
        finally:
            torch.backends.cudnn.benchmark = benchmark
