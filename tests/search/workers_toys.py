"""What trainings with several workers need in their processes; importable by Ray's workers."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from search_toys import ToyFit
from spheres import MemoryCohort, small_config

from branchpoint.config import Config
from branchpoint.training.loop import EpochReport, FitResult, fit


def spheres_config(epochs: int, **training: Any) -> Config:
    """Segmentation and Cox on spheres."""
    config = small_config()
    return replace(config, tasks=config.tasks[:2], training=replace(config.training, epochs=epochs, **training))


def open_spheres(path: Path) -> MemoryCohort:
    """The cohort, whatever the manifest."""
    torch.set_num_threads(1)
    return MemoryCohort()


@dataclass(frozen=True)
class Mishaps:
    """The training loop, with accidents.

    Attributes:
        folder: where each rank notes its process and the epochs it trained, and that an accident has happened.
        kill: (rank, epoch): this worker is killed in this epoch, once.
        most: of a learning rate below 1e-5, worker 1 is out of memory where more samples than these pass at once.
    """

    folder: Path
    kill: tuple[int, int] = (-1, 0)
    most: int = 99

    def __call__(self, config: Config, prepared: MemoryCohort, *, report: Any, **rest: Any) -> FitResult:
        rank = int(os.environ.get("RANK", "0"))
        calm = prepared.batch
        seen: list[int] = []

        def batch(indices: np.ndarray) -> Any:
            epoch = 1 + len(seen)
            at_once = min(len(indices), config.training.micro_batch or len(indices))
            if rank == 1 and config.optimizer.learning_rate < 1e-5 and at_once > self.most:
                raise torch.OutOfMemoryError(f"simulated: {at_once} samples")
            struck = self.folder / "killed"
            if (rank, epoch) == self.kill and not struck.exists():
                struck.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            return calm(indices)

        def note(entry: EpochReport) -> bool:
            seen.append(entry.epoch)
            with (self.folder / f"rank{rank}.txt").open("a") as file:
                file.write(f"{entry.epoch} {os.getpid()} {time.time()}\n")
            return bool(report(entry))

        prepared.batch = batch  # type: ignore[method-assign]
        return fit(config, prepared, report=note, device="cpu", **rest)


class NotingFit(ToyFit):
    """Counts only, and notes beside the checkpoints when it ran, and on which GPU."""

    def __call__(self, config: Config, prepared: Any, *, checkpoint_dir: Path, **rest: Any) -> Any:
        began = time.time()
        result = super().__call__(config, prepared, checkpoint_dir=checkpoint_dir, **rest)
        devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        (checkpoint_dir.parent / "ran.txt").write_text(f"{began} {time.time()} {devices}")
        return result


def noted_times(folder: Path, rank: int) -> list[tuple[int, int, float]]:
    """(epoch, process, when it ended in seconds since 1970) of what a rank trained, in order."""
    rows = [line.split() for line in (folder / f"rank{rank}.txt").read_text().splitlines()]
    return [(int(row[0]), int(row[1]), float(row[2])) for row in rows]


def noted(folder: Path, rank: int) -> list[tuple[int, int]]:
    """(epoch, process) of what a rank trained, in order."""
    return [(epoch, process) for epoch, process, _ in noted_times(folder, rank)]
