"""A small cohort of pictures in memory: discs whose size and colour drive every kind of label, from two centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.datasets.batch import Batch


class FlatCohort:
    """What training needs of a prepared cohort of pictures; labels may be taken away."""

    name, release, spacing_mm, modalities = "discs", "", 1.0, ("colour",)

    def __init__(self, count: int = 24, size: int = 16, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        radius = generator.uniform(2, size / 2 - 1, count)
        grid = np.stack(np.meshgrid(*[np.arange(size) - size / 2 + 0.5] * 2, indexing="ij"))
        self.mask = (np.sqrt((grid**2).sum(0))[None] < radius[:, None, None]).astype(np.uint8)[:, None]
        center = np.arange(count) % 2
        noise = generator.normal(0, 0.2, (count, 3, size, size))
        tint = np.array([[0.0, 0.0, 0.0], [0.5, -0.5, 0.0]])[center]  # each centre has its own colours
        self.image = (self.mask * 1.5 - 0.5 + tint[:, :, None, None] + noise).astype(np.float32)
        age = generator.normal(60, 10, count)
        time = generator.exponential(1000 * np.exp(-0.2 * (age - 60)))
        self.path = Path(f"discs-{count}-{size}-{seed}.json")
        self.patient_ids = tuple(f"D{i:03d}" for i in range(count))
        self.groups: list[str | None] = [None] * count
        self.centers: list[str | None] = ["A" if value == 0 else "B" for value in center]
        self.covariates: list[dict[str, float | str | None]] = [
            {"age": None if i % 6 == 5 else float(age[i]), "sex": "M" if i % 3 else "F", "treatment": "RT"}
            for i in range(count)
        ]
        self.splits: dict[str, dict[str, str]] = {}
        self.targets = {"disc": "segmentation", "survival": "survival", "large": "classification"}
        self.labels: dict[str, np.ndarray] = {
            "survival": np.stack([np.minimum(time, 1500), time < 1500], 1).astype(np.float32),
            "large": (radius > size / 4).astype(np.int64),
        }
        self.labelled = {name: np.ones(count, bool) for name in self.targets}
        self.loaded: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.patient_ids)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """As a prepared cohort gives it."""
        rows = np.asarray(indices)
        self.loaded.append(rows.tolist())
        values = {"disc": self.mask, **self.labels}
        labelled = {name: torch.from_numpy(self.labelled[name][rows]) for name in self.targets}
        targets = {name: torch.from_numpy(values[name][rows]) for name in self.targets}
        for name, known in labelled.items():
            targets[name][~known] = 0
        inputs = {
            "image": torch.from_numpy(self.image[rows]),
            "intensity_offset": torch.full((len(rows), 3), 0.5),
            "intensity_scale": torch.full((len(rows), 3), 0.25),
        }
        return Batch(inputs, targets, labelled, torch.from_numpy(rows))


DISC = SegmentationConfig(name="disc", target="disc")
SURVIVAL = SurvivalConfig(name="survival", target="survival")
LARGE = ClassificationConfig(name="large", target="large")
HOG = HogConfig(name="hog", cell=4, window=(16, 16), weight=0.5)


def flat_config(*tasks: Any, network: dict[str, Any] | None = None, **training: Any) -> Config:
    """The tasks on 16 x 16 pictures, 2 epochs."""
    settings = {
        "encoder": "unet",
        "width": 4,
        "depth": 2,
        "in_channels": 3,
        "hidden_features": 8,
        "dropout": 0.0,
        "unit": "instancenorm",
        **(network or {}),
    }
    base = TrainingConfig(epochs=2, batch_size=4, event_fraction=None, augmentation=AugmentationConfig(shift_mm=2.0))
    return Config(
        dataset=DatasetConfig(size_voxels=(16, 16)),
        tasks=tasks or (DISC, LARGE),
        network=NetworkConfig(**settings),
        optimizer=OptimizerConfig(learning_rate=3e-3),
        training=replace(base, **training),
        split=SplitConfig(folds=4),
    )
