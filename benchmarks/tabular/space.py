"""The finite search space of the table: which tasks share which stages, recipe and weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

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
    balancing_config,
)
from branchpoint.networks import stage_counts
from branchpoint.search.space.trial import Trial
from branchpoint.topology import Parting, SharingTrees, grow

EPOCHS = 12
FOLDS = 3
TASKS = ("lesion", "malignant", "relapse")
DEPTHS = (0, 2, 3)
"""Encoder stages that a task shares with the one whose path it leaves."""
BALANCING = ("sum", "sum, relapse x 0.3", "sum, relapse x 3", "uncertainty")
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "malignant_of3": DEPTHS,
    "relapse_from": ("lesion", "malignant"),
    "relapse_of3": DEPTHS,
    "learning_rate": (1e-3, 4e-3, 1.6e-2),
    "augmentation": (False, True),
    "balancing": BALANCING,
}


def base(root: Path) -> Config:
    """What all configurations share."""
    dataset = DatasetConfig(name="folder", root=str(root.resolve()), release="", size_voxels=(32, 32))
    return Config(
        dataset=dataset,
        tasks=(
            SegmentationConfig(name="lesion", target="lesion", loss="dice_ce", prior_bias=True),
            ClassificationConfig(name="malignant", target="malignant", classes=2),
            SurvivalConfig(name="relapse", target="relapse"),
        ),
        network=NetworkConfig(
            encoder="unet", unit="batchnorm", width=4, depth=3, in_channels=1, hidden_features=16, dropout=0.2
        ),
        training=TrainingConfig(select_by="average", epochs=EPOCHS, batch_size=12, average_decay=0.95),
        split=SplitConfig(folds=FOLDS, seed=3, validation_fraction=0.05, training_fraction=0.17),
    )


def space(trial: Trial, base: Config) -> Config:
    """The Config of ``trial``; parameters that change nothing are not asked for."""
    counts = stage_counts(base)
    malignant = trial.suggest_categorical("malignant_of3", DEPTHS)
    relapse = trial.suggest_categorical("relapse_of3", DEPTHS)
    parent = "lesion"
    if relapse > 0 and malignant < 3:
        parent = trial.suggest_categorical("relapse_from", PARAMETERS["relapse_from"])
    trees = SharingTrees(TASKS, ("lesion",), *counts)
    topology = grow(trees, {"malignant": Parting("lesion", malignant), "relapse": Parting(parent, relapse)})
    balancing = trial.suggest_categorical("balancing", BALANCING)
    weight = float(balancing.split("x ")[1]) if "x " in balancing else 1.0
    augmentation = AugmentationConfig(shift_mm=4.0, flip=True, rotation_degrees=20.0)
    config = replace(
        base,
        network=replace(base.network, topology=topology),
        tasks=(*base.tasks[:2], replace(base.tasks[2], weight=weight)),
        balancing=balancing_config("uncertainty" if balancing == "uncertainty" else "sum"),
        optimizer=OptimizerConfig(
            learning_rate=trial.suggest_categorical("learning_rate", PARAMETERS["learning_rate"])
        ),
    )
    used = augmentation if trial.suggest_categorical("augmentation", (False, True)) else None
    return replace(config, training=replace(config.training, augmentation=used))


class Point:
    """A trial whose values are given; it notes which are asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values, self.asked = values, dict[str, Any]()

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked[name] = self.values[name]
        return self.values[name]

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        raise AssertionError(f"{name}: the space is categorical")

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        raise AssertionError(f"{name}: the space is categorical")


def configurations(base: Config) -> Iterator[tuple[dict[str, Any], Config]]:
    """Parameter values and Config of every distinct configuration, in a fixed order."""
    seen = set()
    for values in product(*PARAMETERS.values()):
        point = Point(dict(zip(PARAMETERS, values, strict=True)))
        config = space(point, base)
        if config.candidate not in seen:
            seen.add(config.candidate)
            yield point.asked, config
