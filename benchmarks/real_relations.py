"""Measured relations of tasks on real scans, and whether training the trees agrees with them.

    python benchmarks/real_relations.py sts --root $BRANCHPOINT_DATA/sts [--trees 8] [--folds 2] [--store DIR]
    python benchmarks/real_relations.py ph2 --root $BRANCHPOINT_DATA/ph2 [--trees 8] [--folds 2] [--store DIR]

First ``branchpoint affinity`` on one shared network: cost, matrices, proposals. Then trees are trained and rated on
validation patients, the mean of the tasks' primary metrics over folds: all shared, the proposed one, separate networks,
and others at random; with the gain that the affinities predict for each, and Spearman's rank correlation of the two.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from branchpoint.affinity.relations import sharing_trees, stage_affinities
from branchpoint.affinity.sharing_tree import tree_gain
from branchpoint.commands.affinity import measure_relations
from branchpoint.config import (
    AugmentationConfig,
    ClassificationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SplitConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.report.relations import print_relations
from branchpoint.store import Store
from branchpoint.topology import SharingTrees, Topology
from branchpoint.training.loop import fit


def sts(root: str) -> Config:
    """Outline, recurrence and lung metastasis from PET/CT at 12 mm."""
    return Config(
        dataset=DatasetConfig(name="sts", root=root, release="", spacing_mm=12.0, size_voxels=(16, 16, 16)),
        tasks=(
            SegmentationConfig(name="tumour", target="tumour"),
            SurvivalConfig(name="recurrence", target="recurrence"),
            ClassificationConfig(name="lung_metastasis", target="lung_metastasis", classes=2),
        ),
        network=NetworkConfig(width=4, depth=3, hidden_features=16, dropout=0.2),
        optimizer=OptimizerConfig(learning_rate=3e-3),
        training=TrainingConfig(epochs=15, batch_size=4, select_by="score"),
        split=SplitConfig(folds=4),
    )


def ph2(root: str) -> Config:
    """Lesion, melanoma, and three criteria that dermatologists score, from pictures of 48 x 48."""
    criteria = {"melanoma": 2, "asymmetry": 3, "pigment_network": 2, "blue_whitish_veil": 2}
    return Config(
        dataset=DatasetConfig(name="ph2", root=root, release="", size_voxels=(48, 48)),
        tasks=(
            SegmentationConfig(name="lesion", target="lesion"),
            *(ClassificationConfig(name=name, target=name, classes=n) for name, n in criteria.items()),
        ),
        network=NetworkConfig(
            encoder="unet", in_channels=3, width=4, depth=4, unit="batchnorm", hidden_features=16, dropout=0.2
        ),
        optimizer=OptimizerConfig(learning_rate=3e-3),
        training=TrainingConfig(
            epochs=20,
            batch_size=8,
            event_fraction=None,
            select_by="score",
            augmentation=AugmentationConfig(shift_mm=4.0, flip=True, rotation_degrees=10.0),
        ),
        split=SplitConfig(folds=4),
    )


def chosen_trees(trees: SharingTrees, proposed: Topology, count: int) -> dict[str, Topology]:
    """Label to tree; the first wins where two are equal."""
    found = {"all shared": trees[0], "proposed": proposed, "separate": trees[len(trees) - 1]}
    for number in np.random.default_rng(0).choice(len(trees), size=min(count, len(trees)), replace=False).tolist():
        found[f"tree {number}"] = trees[number]
    unique: dict[str, Topology] = {}
    for label, tree in found.items():
        if tree not in unique.values() and len(unique) < count:
            unique[label] = tree
    return unique


def command_line(description: str | None) -> argparse.ArgumentParser:
    """What benchmarks on real relations ask for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=["sts", "ph2"])
    parser.add_argument("--root", required=True)
    parser.add_argument("--trees", type=int, default=8)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--store", default="")
    return parser


def begin(options: argparse.Namespace) -> Config:
    """The Config of the dataset; one thread, no warnings."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    return {"sts": sts, "ph2": ph2}[options.dataset](str(Path(options.root).resolve()))


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--every", type=int, default=2)
    options = parser.parse_args()
    config = begin(options)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(options.store or f"{folder}/results")
        affinities, proposals = measure_relations(
            config, store, options.dataset, Path(folder, "cache"), every=options.every
        )
        print_relations(affinities, proposals)
        prepared = PreparedCohort.open(next(Path(folder, "cache", "cohorts").glob("*.json")))
        trees = sharing_trees(config, affinities.tasks)
        per_stage = stage_affinities(affinities, trees)
        gains, scores = [], []
        for label, tree in chosen_trees(trees, proposals.tree.topology, options.trees).items():
            runs = []
            for fold in range(options.folds):
                own = replace(
                    config,
                    network=replace(config.network, topology=tree),
                    seed=fold,
                    split=replace(config.split, fold=fold),
                )
                runs.append(fit(own, prepared, device="cpu").metrics["validation/score"])
            gains.append(tree_gain(tree, per_stage, "sum"))
            scores.append(float(np.nanmean(runs)))
            each = " ".join(f"{run:.3f}" for run in runs)
            print(f"{label:12s} gain {gains[-1]:+.4f}  score {scores[-1]:.3f} ({each})", flush=True)
        print(f"Spearman of gain and score over {len(gains)} trees: {spearmanr(gains, scores).statistic:+.2f}")


if __name__ == "__main__":
    main()
