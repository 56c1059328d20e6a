"""How data-parallel training scales, how long it takes to begin, and one GPU's samples per second.

    python benchmarks/scaling.py [--size 48] [--width 8] [--batch 8] [--workers 1 2] [--rounds 5]
    python benchmarks/scaling.py --part start              # from submission to the first step, by Ray Train
    python benchmarks/scaling.py --part device --size 144  # where CUDA is; --device cpu for a look at the table

Strong scaling keeps the global batch, weak scaling the samples of each worker. Every worker has one thread; workers
are processes with gloo (CPU) that run the loop of ``branchpoint train``. The smallest epoch counts. Efficiency is
samples per second over those of one worker, by the number of workers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.optim.optimizer import register_optimizer_step_post_hook

sys.path.insert(0, str(Path(__file__).parent))
from device_rates import on_device
from training_loop import NoiseCohort, config_of

from branchpoint.config import Config
from branchpoint.training.devices.distributed import Workers
from branchpoint.training.epoch import train_epoch
from branchpoint.training.loop import fit
from branchpoint.training.run import build_run

STEPS = 4
"""Of an epoch."""


def scaled(options: argparse.Namespace, batch: int) -> tuple[Config, int]:
    """A Config of ``batch`` samples, and how many patients give an epoch of :data:`STEPS` steps."""
    config = config_of(options)
    config = replace(config, training=replace(config.training, batch_size=batch, event_fraction=None))
    return config, -(-batch * STEPS * 100 // 64)  # 64 % of the patients are trained on


def epochs(config: Config, patients: int, rounds: int) -> float:
    """Samples per second of the fastest of ``rounds`` epochs of training, over all workers."""
    run = build_run(config, NoiseCohort(patients, config.dataset.size_voxels[0]), torch.device("cpu"))
    samples = sum(len(rows) for rows in run.sampler.epoch(1))
    best = float("inf")
    for epoch in range(1, rounds + 2):
        Workers().gather_objects(None)  # all begin together
        started = time.perf_counter()
        train_epoch(run, epoch)
        best = min(best, time.perf_counter() - started if epoch > 1 else best)
    return samples / best


def worker(rank: int, size: int, folder: str, config: Config, patients: int, rounds: int) -> None:
    """One process of ``size``."""
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    rate = epochs(config, patients, rounds)
    if rank == 0:
        Path(folder, "rate").write_text(str(rate))
    if size > 1:
        dist.destroy_process_group()


def samples_per_second(size: int, options: argparse.Namespace, batch: int) -> float:
    """Of ``size`` workers and a global batch of ``batch``."""
    config, patients = scaled(options, batch)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (size, folder, config, patients, options.rounds), nprocs=size)
        return float(Path(folder, "rate").read_text())


def scaling(options: argparse.Namespace) -> None:
    """Both tables."""
    for name in ("strong", "weak"):
        print(f"\n{name} scaling, {options.size} cubed, width {options.width}, {options.precision}, one thread each")
        print(f"{'workers':>8} {'batch':>6} {'samples/s':>10} {'efficiency':>11}")
        first = 0.0
        for size in options.workers:
            batch = options.batch * (size if name == "weak" else 1)
            rate = samples_per_second(size, options, batch)
            first = first or rate / size
            print(f"{size:8d} {batch:6d} {rate:10.2f} {rate / first / size:11.3f}", flush=True)


class Noise:
    """Opens the cohort on each worker."""

    def __init__(self, patients: int, size: int) -> None:
        self.patients, self.size = patients, size

    def __call__(self, path: Path) -> NoiseCohort:
        return NoiseCohort(self.patients, self.size)


@dataclass(frozen=True)
class TimedFit:
    """The training loop, which notes when the first step of the optimiser was taken."""

    note: Path

    def __call__(self, config: Config, prepared: Any, **rest: Any) -> Any:
        def first(*_: Any) -> None:
            if not self.note.exists():
                self.note.write_text(str(time.time()))

        torch.set_num_threads(1)
        hook = register_optimizer_step_post_hook(first)
        try:
            return fit(config, prepared, device="cpu", **rest)
        finally:
            hook.remove()


def start(options: argparse.Namespace) -> None:
    """Seconds from submission to the first step, for a first run and one that follows it in the same Ray."""
    from branchpoint.execution.resources import Resources
    from branchpoint.on_ray.session import session
    from branchpoint.on_ray.train_workers import WorkersFit

    config, patients = scaled(options, options.batch)
    config = replace(config, training=replace(config.training, epochs=1))
    with tempfile.TemporaryDirectory(prefix="bp") as text, session("local", cpus=max(options.workers)):
        print(f"\n{'workers':>8} {'run':>7} {'submission to first step, s':>28}")
        for size in options.workers:
            for number in ("first", "second"):
                folder = Path(text, f"{size}-{number}")
                folder.mkdir()
                by_workers = WorkersFit(
                    resources=Resources(workers=size),
                    folder=folder / "ray",
                    fit=TimedFit(folder / "first-step"),
                    open_cohort=Noise(patients, options.size),
                )
                submitted = time.time()
                by_workers(
                    config,
                    folder,
                    checkpoint_dir=folder / "checkpoints",
                    checkpoint_seconds=60.0,
                    report=lambda entry: True,
                )
                seconds = float((folder / "first-step").read_text()) - submitted
                print(f"{size:8d} {number:>7} {seconds:28.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"size": 48, "width": 8, "batch": 8, "patients": 40, "epochs": 4, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--part", choices=("scaling", "start", "device"), action="append")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    options = parser.parse_args()
    parts = options.part or ["scaling", "start", *(["device"] if torch.cuda.is_available() else [])]
    for part in parts:
        {"scaling": scaling, "start": start, "device": on_device}[part](options)
    if "device" not in parts and options.part is None:
        print("no CUDA here: samples per second of a GPU were left out (--part device)")


if __name__ == "__main__":
    main()
