"""What a run has reached: its history, the weights that it would end with, and the checkpoints that keep both."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint import networks
from branchpoint.config import SCORE, Config
from branchpoint.io.storage import Place
from branchpoint.training.devices.memory import peak_memory_bytes
from branchpoint.training.results import EpochReport, FitResult, RunCost
from branchpoint.training.run import Run
from branchpoint.training.state.checkpoint import BackgroundWriter, Checkpoints
from branchpoint.training.validation import figures_by_rule


class Progress:
    """The progress of ``run``, taken up from its newest checkpoint where there is one.

    The schedule of the learning rate and all random numbers follow from the epoch, so that a run that goes on gives
    what an unbroken one gives.

    Args:
        run: on this worker.
        folder: of the checkpoints, which the first worker writes; ``None`` for none.
        checkpoint_seconds: least time between two checkpoints.

    Raises:
        ValueError: on every worker, where ``folder`` holds another run.
    """

    def __init__(self, run: Run, folder: Path | Place | None, checkpoint_seconds: float) -> None:
        self.history: list[EpochReport] = []
        self._run, self._seconds, self._saved = run, checkpoint_seconds, time.monotonic()
        self._best_epoch, self._best_weights, self._peak_memory_bytes = 0, dict[str, Tensor](), 0
        self._writer: BackgroundWriter | None = None
        state: Any = None
        if folder is not None and run.workers.rank == 0:
            checkpoints = Checkpoints(folder, run.identity)
            self._writer = BackgroundWriter(checkpoints)
            try:
                state = checkpoints.newest()
            except ValueError as refusal:
                state = refusal  # to be raised by all workers: the others would wait for ever
        state = run.workers.from_first(state)
        if isinstance(state, ValueError):
            raise state
        if state is not None:
            self._restore(state)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """A block in which :meth:`add` writes checkpoints beside the training; on leaving it, they are written."""
        with self._writer or nullcontext():
            yield

    def add(self, entry: EpochReport) -> None:
        """Take in an epoch: its report, its weights where it is the best so far, and a checkpoint when one is due."""
        self.history.append(entry)
        best = self.history[self._best_epoch - 1].metrics
        if self._best_epoch == 0 or _better(self._run.config, entry.metrics, best):
            self._best_epoch = entry.epoch
            self._best_weights = {
                name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
                for name, tensor in self._run.validated.state_dict().items()
            }
        peaks = self._run.workers.gather_objects(peak_memory_bytes(self._run.device))
        self._peak_memory_bytes = max(self._peak_memory_bytes, *peaks)
        if self._writer is not None and time.monotonic() - self._saved >= self._seconds:
            self._writer.save(entry.epoch, self._state())
            self._saved = time.monotonic()

    def result(self, stopped: bool) -> FitResult:
        """The network with the weights that ``training.select_by`` names, in evaluation mode, and what the run took."""
        run = self._run
        by_rule = {} if stopped else figures_by_rule(run, [entry.metrics for entry in self.history])
        run.network.load_state_dict(self._best_weights)
        run.network.eval().to(memory_format=torch.contiguous_format)
        seconds = [entry.seconds for entry in self.history]
        cost = networks.estimate(run.config)
        return FitResult(
            best_epoch=self._best_epoch,
            metrics=self.history[self._best_epoch - 1].metrics,
            history=tuple(self.history),
            network=run.network,
            stopped=stopped,
            notes=run.notes,
            by_rule=by_rule,
            cost=RunCost(
                parameters=cost.parameters,
                macs=cost.macs,
                peak_memory_bytes=self._peak_memory_bytes,
                epoch_seconds=float(np.median(seconds)),
                gpu_seconds=sum(seconds) * run.workers.size if run.device.type == "cuda" else 0.0,
            ),
        )

    def _state(self) -> dict[str, Any]:
        run = self._run
        return {
            "weights": run.network.state_dict(),
            "optimizer": run.optimizer.state_dict(),
            "balancer": run.balancer.state_dict(),
            "average": run.average.network.state_dict(),
            "teacher": run.teacher.network.state_dict() if run.teacher is not None else {},
            "config": run.config.to_json(),
            "history": [(entry.epoch, dict(entry.metrics), entry.seconds) for entry in self.history],
            "best_epoch": self._best_epoch,
            "best_weights": self._best_weights,
            "peak_memory_bytes": self._peak_memory_bytes,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        run = self._run
        run.network.load_state_dict(state["weights"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.balancer.load_state_dict(state["balancer"])
        run.average.network.load_state_dict(state["average"])
        if run.teacher is not None:
            run.teacher.network.load_state_dict(state["teacher"])
        self.history = [EpochReport(*entry) for entry in state["history"]]
        self._best_epoch, self._best_weights = state["best_epoch"], state["best_weights"]
        self._peak_memory_bytes = state["peak_memory_bytes"]


def _better(config: Config, metrics: Mapping[str, float], best: Mapping[str, float]) -> bool:
    if config.training.select_by in ("last", "average"):
        return True
    if config.training.select_by == "score":
        return metrics[SCORE] > best[SCORE]
    return metrics["validation/loss"] < best["validation/loss"]
