"""What trainings with several workers need in their processes; importable by Ray's workers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray.util import placement_group_table
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from branchpoint.config import Config
from branchpoint.on_ray.session import session
from branchpoint.store import Store
from branchpoint.training.loop import EpochReport, FitResult, fit
from tests.search.search_toys import ToyFit
from tests.training.spheres import MemoryCohort, small_config


@contextmanager
def two_cores() -> Iterator[None]:
    """A Ray with two cores, and a GPU in name only."""
    temp_dir = Path(tempfile.mkdtemp(prefix="bp"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        environment.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        environment.setenv("RAY_worker_niceness", "0")  # as in a session, which finds this Ray begun
        options: dict[str, Any] = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False, "log_to_driver": False}
        ray.init(address="local", object_store_memory=2 * 10**8, _temp_dir=str(temp_dir), **options)
        try:
            with session("local"):
                yield
        finally:
            ray.shutdown()
            shutil.rmtree(temp_dir, ignore_errors=True)


def rows_of(results: Path) -> list[dict[str, Any]]:
    """All attempts at the trials of study "two", in order."""
    found = Store(str(results)).trials("two", attempts="all").to_pylist(maps_as_pydicts="strict")
    return sorted(found, key=lambda row: (row["trial"], row["attempt"]))


def require_free(seconds: float = 20.0) -> None:
    """Both cores, within seconds, and no placement group."""
    end = time.monotonic() + seconds
    while ray.available_resources().get("CPU", 0) < 2 or held_placement_groups():
        assert time.monotonic() < end, f"{ray.available_resources()}, {held_placement_groups()} groups"
        time.sleep(0.1)


def held_placement_groups() -> int:
    return sum(group["state"] != "REMOVED" for group in placement_group_table().values())


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
        most: (samples, epoch): from this epoch on a batch of more samples does not fit into worker 1's memory.
    """

    folder: Path
    kill: tuple[int, int] = (-1, 0)
    most: tuple[int, int] = (99, 0)

    def __call__(self, config: Config, prepared: MemoryCohort, *, report: Any, **rest: Any) -> FitResult:
        rank = int(os.environ.get("RANK", "0"))
        calm = prepared.batch
        seen: list[int] = []

        def batch(indices: np.ndarray) -> Any:
            struck = self.folder / "killed"
            if (rank, 1 + len(seen)) == self.kill and not struck.exists():
                struck.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            return calm(indices)

        def note(entry: EpochReport) -> bool:
            seen.append(entry.epoch)
            with (self.folder / f"rank{rank}.txt").open("a") as file:
                file.write(f"{entry.epoch} {os.getpid()} {time.time()}\n")
            return bool(report(entry))

        def allocate(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            many = isinstance(module, nn.Conv3d) and len(inputs[0]) > self.most[0]
            if rank == 1 and module.training and many and 1 + len(seen) >= self.most[1]:
                torch.empty(2**60, dtype=torch.uint8)  # no allocator has so much

        prepared.batch = batch  # type: ignore[method-assign, assignment]
        hook = register_module_forward_pre_hook(allocate)
        try:
            return fit(config, prepared, report=note, device="cpu", **rest)
        finally:
            hook.remove()


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
