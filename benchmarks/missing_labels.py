"""What half of one task's labels costs the other tasks: nothing but noise, and no image.

A phantom of ISIC 2017 (lesion mask, diagnosis; HOG descriptors as an auxiliary task) is learned with all labels, and
with half of the training labels of one task taken away, by several seeds. Figures are means over seeds on the same test
pictures; intervals and differences are of a bootstrap over seeds and pictures (branchpoint.evaluation.bootstrap). It
also counts the training pictures that an epoch brings to the network.

    python benchmarks/missing_labels.py            # some ten minutes on 2 cores
    python benchmarks/missing_labels.py --quick    # seconds, to see that it runs
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from branchpoint.config import (
    AugmentationConfig,
    ClassificationConfig,
    Config,
    DatasetConfig,
    HogConfig,
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SplitConfig,
    TrainingConfig,
)
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.datasets.splits import split
from branchpoint.evaluation.bootstrap import intervals, paired_differences
from branchpoint.evaluation.evaluation import evaluate
from branchpoint.phantoms import make_phantom
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary
from branchpoint.training.loop import fit
from branchpoint.training.run import build_run

TASKS = (
    SegmentationConfig(name="lesion", target="lesion", loss="dice_ce"),
    ClassificationConfig(name="diagnosis", target="diagnosis", classes=3),
    HogConfig(name="hog", weight=10.0),
)
LABELLED = ("lesion", "diagnosis")
METRICS = {"lesion": "dice", "diagnosis": "auc", "hog": "explained"}


def config_for(root: Path, epochs: int, seed: int) -> Config:
    """One shared U-Net."""
    return Config(
        dataset=DatasetConfig(name="isic2017", release="", root=str(root), size_voxels=(32, 32)),
        tasks=TASKS,
        network=NetworkConfig(
            encoder="unet",
            in_channels=3,
            width=8,
            depth=3,
            hidden_features=32,
            dropout=0.0,
            unit="instancenorm",
            measured_channel=0,
            regression_units=(("hog", "light"),),
        ),
        optimizer=OptimizerConfig(learning_rate=3e-3),
        training=TrainingConfig(
            epochs=epochs, batch_size=8, event_fraction=None, augmentation=AugmentationConfig(shift_mm=2.0, flip=True)
        ),
        split=SplitConfig(folds=3),
        seed=seed,
    )


def thinned(path: Path, target: str, config: Config) -> PreparedCohort:
    """The cohort without every second training label of ``target`` (of none where it is empty)."""
    cohort = PreparedCohort.open(path)
    if target:
        known = split(cohort, config.split).train
        known = known[cohort.labelled[target][known]]
        cohort.labelled[target][np.random.default_rng(0).permutation(known)[: len(known) // 2]] = False
    return cohort


def learned(cohort: PreparedCohort, configs: Sequence[Config], truth: PreparedCohort) -> list[dict[str, Summary]]:
    """What the network of each Config does on the test pictures, whose labels are those of ``truth``."""
    test = split(truth, configs[0].split).test
    return [evaluate(fit(config, cohort, device="cpu").network, config, truth, test) for config in configs]


def pictures_seen(cohort: PreparedCohort, config: Config) -> tuple[int, int]:
    """Training pictures that an epoch brings, and how many there are."""
    run = build_run(config, cohort, torch.device("cpu"))
    return len(np.unique(np.concatenate(run.sampler.epoch(1)))), len(run.folds.train)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="24 pictures, one epoch, two seeds")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pictures, options.epochs, options.seeds = 24, 1, 2
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = make_phantom(
            "isic2017", Path(folder) / "isic", patients=options.pictures, size_scale=0.12, progress=False
        )
        configs = [config_for(root, options.epochs, seed) for seed in range(options.seeds)]
        cohort = prepare(
            read_cohort(configs[0].dataset), configs[0].dataset, Path(folder) / "cache", workers=1, progress=False
        )
        print(f"{options.pictures} pictures, {options.epochs} epochs, {options.seeds} seeds; mean [95 % interval]")
        whole = learned(cohort, configs, cohort)
        compare(cohort, configs, whole)


def compare(cohort: PreparedCohort, configs: Sequence[Config], whole: Sequence[dict[str, Summary]]) -> None:
    """Take half of each task's labels away in turn."""
    tasks = {task.name: build_task(task) for task in TASKS}
    full = {name: intervals(tasks[name], [run[name] for run in whole])[metric] for name, metric in METRICS.items()}
    inside = 0
    for taken in LABELLED:
        partial = thinned(cohort.path, taken, configs[0])
        seen, there = pictures_seen(partial, configs[0])
        runs = learned(partial, configs, cohort)
        print(f"\nhalf of the labels of {taken} taken away: {seen} of {there} training pictures in each epoch")
        for name, metric in METRICS.items():
            of_task, before_taking = [run[name] for run in runs], [run[name] for run in whole]
            found = intervals(tasks[name], of_task)[metric]
            apart = paired_differences(tasks[name], of_task, before_taking)[metric]
            before = full[name]
            within = before.low <= found.value <= before.high
            inside += within and name != taken
            mark = "  (the task itself)" if name == taken else "" if within else "  OUTSIDE"
            print(
                f"  {name + ' ' + metric:18s} {before.value:.3f} [{before.low:.3f}, {before.high:.3f}] -> "
                f"{found.value:.3f}, difference {apart.value:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}], "
                f"n={before.n}{mark}"
            )
    print(f"\nother tasks' figures within their interval: {inside} of {len(LABELLED) * (len(METRICS) - 1)}")


if __name__ == "__main__":
    main()
