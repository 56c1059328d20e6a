"""``fit``: trains the network that a Config describes, alone or as one of several workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from branchpoint.config import Config
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.io.storage import Place
from branchpoint.training.devices.memory import reset_peak_memory
from branchpoint.training.devices.randomness import TRAINING, derived_seed
from branchpoint.training.epoch import train_epoch
from branchpoint.training.errors import memory_errors_named
from branchpoint.training.results import EpochReport, FitResult, RunCost
from branchpoint.training.run import Run, batch_shape, build_run
from branchpoint.training.state.progress import Progress
from branchpoint.training.validation import validate

__all__ = ["EpochReport", "FitResult", "RunCost", "fit"]


def fit(
    config: Config,
    prepared: PreparedCohort,
    *,
    checkpoint_dir: Path | Place | None = None,
    checkpoint_seconds: float = 0.0,
    report: Callable[[EpochReport], bool] | None = None,
    device: torch.device | str | None = None,
) -> FitResult:
    """Train on the training split and end with the weights that ``training.select_by`` names.

    The test split is not touched.

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
    with _settings(device), memory_errors_named(batch_shape(config), config.training.precision, device):
        run = build_run(config, prepared, device)
        progress = Progress(run, checkpoint_dir, checkpoint_seconds)

        def ended() -> bool:
            """Report the last epoch; whether any worker's report ends the run."""
            wanted = report is None or report(progress.history[-1]) is not False
            return not all(run.workers.gather_objects(wanted))

        with progress.saving():
            # The report of the epoch that was checkpointed last may have been lost with the process that was to get it.
            stopped = ended() if progress.history else False
            while len(progress.history) < config.training.epochs and not stopped:
                progress.add(_one_epoch(run, len(progress.history) + 1))
                stopped = ended()
    return progress.result(stopped)


def _one_epoch(run: Run, epoch: int) -> EpochReport:
    started = time.perf_counter()
    torch.manual_seed(derived_seed(run.config.seed, TRAINING, epoch))
    metrics = {f"train/{name}": value for name, value in train_epoch(run, epoch).items()}
    metrics |= {f"validation/{name}": value for name, value in validate(run, run.folds.validation, epoch).items()}
    return EpochReport(epoch, metrics, time.perf_counter() - started)


def _device(device: torch.device | str | None) -> torch.device:
    device = torch.device(device if device is not None else "cuda" if torch.cuda.is_available() else "cpu")
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


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
