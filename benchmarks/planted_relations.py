"""Whether affinities find planted families of tasks, and the tree search their branching: over seeds, on a phantom.

    python benchmarks/planted_relations.py [--seeds 10] [--first 0] [--patients 96] [--epochs 60] [--every 2]

Each seed has a phantom, a network and folds of its own (``branchpoint make-phantom relations``). Families are found
where the proposed grouping is exactly the two; the branching is recovered where in the proposed tree each family shares
every stage and the two part before the second stage.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import torch

from branchpoint.affinity.matrices import Affinities
from branchpoint.affinity.relations import EVIDENCE, Proposals
from branchpoint.commands.affinity import measure_relations
from branchpoint.config import (
    Config,
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    RegressionConfig,
    SplitConfig,
    TrainingConfig,
)
from branchpoint.phantoms import make_phantom
from branchpoint.phantoms.relations import FAMILIES
from branchpoint.store import Store


def planted_config(root: Path, seed: int, epochs: int) -> Config:
    """Both families on a network of one channel, which has no room for both."""
    return Config(
        dataset=DatasetConfig(name="folder", root=str(root), release="", size_voxels=(16, 16)),
        tasks=tuple(RegressionConfig(name=name, target=name, center=0.45, scale=0.3) for f in FAMILIES for name in f),
        network=NetworkConfig(
            encoder="unet", width=1, depth=3, in_channels=1, hidden_features=4, dropout=0.0, unit="batchnorm", taps=(2,)
        ),
        optimizer=OptimizerConfig(learning_rate=0.005, schedule="constant"),
        training=TrainingConfig(epochs=epochs, batch_size=28, event_fraction=None, augmentation=None),
        split=SplitConfig(folds=4, seed=seed),
        seed=seed,
    )


def found_families(proposals: Proposals) -> bool:
    """Whether the proposed grouping is the planted one."""
    return {frozenset(group) for group in proposals.grouping.groups} == {frozenset(family) for family in FAMILIES}


def parting_depth(proposals: Proposals) -> int | None:
    """Stage at which the families part; None where a family parts in itself or the two in more than one way."""
    tree = proposals.tree.topology
    whole = all(tree.branching_point(*family) == len(tree.encoder) for family in FAMILIES)
    across = {tree.branching_point(first, second) for first, second in product(*FAMILIES)}
    return across.pop() if whole and len(across) == 1 else None


def mean_affinities(affinities: Affinities) -> tuple[float, float]:
    """Within families and across, over ordered pairs of tasks."""
    family = {task: number for number, tasks in enumerate(FAMILIES) for task in tasks}
    groups = np.array([family[task] for task in affinities.tasks])
    same = groups[:, None] == groups[None]
    mean = affinities.matrix(EVIDENCE).mean
    return float(mean[same & ~np.eye(len(groups), dtype=bool)].mean()), float(mean[~same].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"seeds": 10, "first": 0, "patients": 96, "epochs": 60, "every": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    families = recovered = 0
    print("seed    within    across  grouping, stage at which families part, training time, CPU")
    for seed in range(options.first, options.first + options.seeds):
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            store = Store(f"{folder}/results")
            root = make_phantom(
                "relations", Path(folder, "phantom"), patients=options.patients, seed=seed, progress=False
            )
            config = planted_config(root, seed, options.epochs)
            affinities, proposals = measure_relations(
                config, store, "planted", Path(folder, "cache"), every=options.every
            )
        depth = parting_depth(proposals)
        families += found_families(proposals)
        recovered += depth in (0, 1)
        within, across = mean_affinities(affinities)
        grouping = " | ".join("+".join(group) for group in proposals.grouping.groups)
        cost = affinities.seconds / (affinities.seconds - affinities.seconds_measuring)
        print(
            f"{seed:4d} {within:+9.4f} {across:+9.4f}  {grouping}, {'-' if depth is None else depth}, x {cost:.1f}, "
            f"{time.process_time() - started:.1f} s",
            flush=True,
        )
    print(f"families found in {families} of {options.seeds} seeds, branching recovered in {recovered}")


if __name__ == "__main__":
    main()
