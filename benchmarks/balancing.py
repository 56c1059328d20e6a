"""What each balancer costs over the plain sum: time of a training step, and memory.

    python benchmarks/balancing.py [--size 32] [--width 8] [--batch 4] [--tasks 3] [--rounds 5] [--threads 1]

One outline and image-level classes are learned together from noise, sharing the whole encoder. All balancers take
steps in turn, in one process on the same batches; the smallest time of each counts. Memory is what a step needs at
its peak beyond what was held before it: of the device on a GPU, else of a second process, told to give freed memory
back at once. Gradient methods are measured with gradients in the shared parameters, and in the features that leave the
encoder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from branchpoint.balancing import Step
from branchpoint.config import (
    BalancingConfig,
    ClassificationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    SegmentationConfig,
    SplitConfig,
    TrainingConfig,
    balancing_config,
)
from branchpoint.config.balancing import ELEMENTWISE_METHODS, GRAMIAN_METHODS, LOSS_METHODS
from branchpoint.datasets.batch import Batch
from branchpoint.training.devices.memory import peak_memory_bytes, reset_peak_memory
from branchpoint.training.run import Run, build_run
from branchpoint.training.step.same_batch import SameBatch


class NoiseCohort:
    """Noise in memory, with a random mask and random classes."""

    name, release, spacing_mm, modalities, path = "noise", "", 4.0, ("CT", "PET"), Path("noise.json")

    def __init__(self, count: int, size: int, tasks: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.image = torch.randn(count, 2, size, size, size, generator=generator)
        self.mask = (self.image[:, :1] > 1.5).to(torch.uint8)
        names = [f"class{i}" for i in range(1, tasks)]
        self.classes = {name: torch.randint(2, (count,), generator=generator) for name in names}
        self.patient_ids = tuple(f"P{i:03d}" for i in range(count))
        self.groups: list[str | None] = [None] * count
        self.targets = {"outline": "segmentation", **dict.fromkeys(names, "classification")}
        self.labels = {name: values.numpy() for name, values in self.classes.items()}
        self.labelled = {name: np.ones(count, bool) for name in self.targets}

    def batch(self, indices: np.ndarray) -> Batch:
        """As a prepared cohort gives it."""
        rows = torch.as_tensor(np.asarray(indices))
        known = dict.fromkeys(self.targets, torch.ones(len(rows), dtype=torch.bool))
        targets = {"outline": self.mask[rows], **{name: values[rows] for name, values in self.classes.items()}}
        return Batch({"image": self.image[rows]}, targets, known, rows)


def config_of(options: argparse.Namespace) -> Config:
    classes = [ClassificationConfig(name=f"class{i}", target=f"class{i}") for i in range(1, options.tasks)]
    return Config(
        dataset=DatasetConfig(size_voxels=(options.size,) * 3, spacing_mm=4.0),
        tasks=(SegmentationConfig(name="outline", target="outline"), *classes),
        network=NetworkConfig(width=options.width),
        training=TrainingConfig(batch_size=options.batch, event_fraction=None),
        split=SplitConfig(folds=2),
    )


def balancings() -> dict[str, BalancingConfig]:
    """Name to method; gradient methods twice."""
    found = {method: balancing_config(method) for method in (*LOSS_METHODS, *ELEMENTWISE_METHODS)}
    for method in GRAMIAN_METHODS:
        for space in ("parameters", "features"):
            found[f"{method}, {space}"] = balancing_config(method, gradients=space)
    return found


def take_step(run: Run, indices: np.ndarray) -> None:
    """One training step, from the second epoch, when every balancer does all that it does."""
    same = SameBatch(run, indices, run.prepared.batch(indices).to(run.device))
    run.optimizer.zero_grad()
    run.balancer.backward(Step(same.losses()[1], run.network, run.workers.add_up, 2))
    run.optimizer.step()
    if run.balancer.looks_again:
        run.balancer.look_again(same.values_now())
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)


def memory_of_step(run: Run, indices: np.ndarray) -> int:
    """Bytes at the peak of a step beyond what was held before it."""
    reset_peak_memory(run.device)
    before = peak_memory_bytes(run.device)
    take_step(run, indices)
    return peak_memory_bytes(run.device) - before


def build_runs(options: argparse.Namespace) -> dict[str, Run]:
    """A run for each method, its first step taken."""
    config, cohort = config_of(options), NoiseCohort(2 * options.batch + 4, options.size, options.tasks)
    runs = {}
    for name, balancing in balancings().items():
        try:
            runs[name] = build_run(replace(config, balancing=balancing), cohort, torch.device(options.device))
        except ModuleNotFoundError as problem:
            print(f"{name:28s} left out: {problem}", file=sys.stderr)
            continue
        runs[name].network.train()
        take_step(runs[name], np.arange(options.batch))
    return runs


def memory_of_all(options: argparse.Namespace) -> dict[str, float]:
    """Bytes that a step of each method needs; of the CPU measured in a process of its own."""
    if options.device == "cpu" and not options.memory:
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
        command = [sys.executable, *sys.argv, "--memory"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
        return dict(json.loads(done.stdout))
    indices = np.arange(options.batch)
    return {
        name: float(np.median([memory_of_step(run, indices) for _ in range(options.rounds)]))
        for name, run in build_runs(options).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"size": 32, "width": 8, "batch": 4, "tasks": 3, "rounds": 5, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true", help="measure memory alone, and print JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    if options.memory:
        print(json.dumps(memory_of_all(options)))
        return
    runs = build_runs(options)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            take_step(run, np.arange(options.batch))
            seconds[name].append(time.perf_counter() - started)
    memory = memory_of_all(options)
    print(
        f"{options.tasks} tasks, {options.batch} x 2 x {options.size}^3, width {options.width}, {options.device}: "
        f"plain sum {min(seconds['sum']) * 1e3:.1f} ms, {memory['sum'] / 1e6:.0f} MB a step"
    )
    print(f"{'balancer':28s} {'time':>8s} {'memory':>8s}   over the plain sum")
    for name in runs:
        print(f"{name:28s} {min(seconds[name]) / min(seconds['sum']):8.2f} {memory[name] / memory['sum']:8.2f}")


if __name__ == "__main__":
    main()
