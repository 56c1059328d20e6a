"""What the training loop costs over a bare torch loop with the same network, batches, losses and optimiser.

    python benchmarks/training_loop.py [--size 32] [--width 8] [--batch 4] [--patients 40] [--epochs 4] [--threads 1]
                                       [--device cuda]

The bare loop is what one would write by hand: it indexes tensors in memory, augments, adds Cox and Dice, steps Adam,
and after each epoch computes losses and metrics on the validation fold; no checkpoint, no checks, no reports. Both
are timed in turn, epoch by epoch, in one process; the smallest epoch of each counts, by the clock and by the
process's CPU time (which a busy machine disturbs less). A second bare loop uses the same memory layout as ours.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from branchpoint import networks
from branchpoint.config import (
    Config,
    DatasetConfig,
    NetworkConfig,
    SegmentationConfig,
    SplitConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.datasets.batch import Batch
from branchpoint.datasets.sampling import EventBalancedSampler
from branchpoint.datasets.splits import split
from branchpoint.tasks import build_task
from branchpoint.training.batches.augmentation import augment
from branchpoint.training.devices.layout import memory_format
from branchpoint.training.loop import fit


class NoiseCohort:
    """Noise in memory, with a random mask and survival times."""

    name, release, spacing_mm, modalities, path = "noise", "", 4.0, ("CT", "PET"), Path("noise.json")

    def __init__(self, count: int, size: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.image = torch.randn(count, 2, size, size, size, generator=generator)
        self.mask = (self.image[:, :1] > 1.5).to(torch.uint8)
        time_days = torch.rand(count, generator=generator) * 1000
        self.survival = torch.stack([time_days, (torch.arange(count) % 4 == 0).float()], 1)
        self.patient_ids = tuple(f"P{i:03d}" for i in range(count))
        self.groups: list[str | None] = [None] * count
        self.targets = {"tumour": "segmentation", "survival": "survival"}
        self.labels = {"survival": self.survival.numpy().astype(np.float64)}
        self.labelled = {name: np.ones(count, bool) for name in self.targets}

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """As a prepared cohort gives it."""
        rows = torch.as_tensor(np.asarray(indices))
        known = torch.ones(len(rows), dtype=torch.bool)
        return Batch(
            {"image": self.image[rows]},
            {"tumour": self.mask[rows], "survival": self.survival[rows]},
            {"tumour": known, "survival": known},
            rows,
        )


def config_of(options: argparse.Namespace) -> Config:
    return Config(
        dataset=DatasetConfig(size_voxels=(options.size,) * 3, spacing_mm=4.0),
        tasks=(
            SegmentationConfig(name="tumour", target="tumour"),
            SurvivalConfig(name="survival", target="survival"),
        ),
        network=NetworkConfig(width=options.width),
        training=TrainingConfig(epochs=options.epochs, batch_size=options.batch, precision=options.precision),
        split=SplitConfig(folds=5),
    )


def now() -> np.ndarray:
    """Seconds by the clock and of the process's CPU time."""
    return np.array([time.perf_counter(), time.process_time()])


def bare_epochs(
    config: Config, cohort: NoiseCohort, layout: torch.memory_format, device: torch.device
) -> list[np.ndarray]:
    """Seconds of each epoch of a loop written by hand."""
    folds = split(cohort, config.split)
    sampler = EventBalancedSampler.of(cohort, folds.train, config.training, "survival", 0)
    tasks = [build_task(task) for task in config.tasks]
    network = networks.build(config).to(device).to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    half = config.training.precision == "bf16"
    seconds = []
    for epoch in range(1, config.training.epochs + 1):
        started = now()
        network.train()
        for rows in sampler.epoch(epoch):
            batch = augment(cohort.batch(rows).to(device), config.training.augmentation, 4.0, generator)
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                outputs = network({"image": batch.inputs["image"].contiguous(memory_format=layout)})
            losses = [
                task.loss(outputs[task.name].float(), batch.targets[task.name], batch.labelled[task.name])
                for task in tasks
            ]
            torch.stack(losses).sum().backward()
            optimizer.step()
        network.eval()
        summaries = []
        with torch.no_grad():
            for start in range(0, len(folds.validation), config.training.batch_size):
                batch = cohort.batch(folds.validation[start : start + config.training.batch_size]).to(device)
                with torch.autocast(device.type, torch.bfloat16, enabled=half):
                    outputs = network({"image": batch.inputs["image"].contiguous(memory_format=layout)})
                summaries.append(
                    [
                        task.summarize(outputs[task.name], batch.targets[task.name], batch.labelled[task.name])
                        for task in tasks
                    ]
                )
        for number, task in enumerate(tasks):
            parts = [summary[number] for summary in summaries]
            task.metrics({name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]})
        seconds.append(now() - started)
    return seconds


def our_epochs(config: Config, cohort: NoiseCohort, device: torch.device) -> list[np.ndarray]:
    """Seconds of each epoch of ``fit``, with a checkpoint each epoch."""
    marks: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as folder:
        fit(
            config, cohort, checkpoint_dir=Path(folder), device=device, report=lambda entry: marks.append(now()) is None
        )
    return list(np.diff(marks, axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"size": 32, "width": 8, "batch": 4, "patients": 40, "epochs": 4, "threads": 1, "rounds": 3}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True  # as fit does
    config, cohort, device = (
        config_of(options),
        NoiseCohort(options.patients, options.size),
        torch.device(options.device),
    )
    layout = memory_format(config.network, 3, device)
    loops = {
        "bare, contiguous": lambda: bare_epochs(config, cohort, torch.contiguous_format, device),
        "bare, same layout as ours": lambda: bare_epochs(config, cohort, layout, device),
        "fit, with checkpoints": lambda: our_epochs(config, cohort, device),
    }
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in loops}
    for _ in range(options.rounds):
        for name, loop in loops.items():
            seconds[name] += loop()
    best = {name: np.min(values, axis=0) for name, values in seconds.items()}
    for name, values in best.items():
        ratio = best["fit, with checkpoints"] / values
        print(
            f"{name:28s} {values[0]:6.3f} s/epoch, {values[1]:6.3f} s CPU; "
            f"fit over it: {ratio[0]:.3f}, CPU {ratio[1]:.3f}"
        )


if __name__ == "__main__":
    main()
