"""A small cohort in memory: spheres whose size drives the hazard and the class, with labels missing here and there."""

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
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SplitConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.datasets.batch import Batch


class MemoryCohort:
    """What the training loop needs of a prepared cohort."""

    name, release, spacing_mm, modalities = "spheres", "", 4.0, ("CT", "PET")

    def __init__(self, count: int = 24, size: int = 8, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        radius = generator.uniform(1.5, 3.5, count)
        grid = np.stack(np.meshgrid(*[np.arange(size) - size / 2 + 0.5] * 3, indexing="ij"))
        self.mask = (np.sqrt((grid**2).sum(0))[None] < radius[:, None, None, None]).astype(np.uint8)[:, None]
        noise = generator.normal(0, 0.5, (count, 2, size, size, size))
        self.image = (self.mask * np.array([0.5, 2.0])[None, :, None, None, None] + noise).astype(np.float32)
        time = generator.exponential(1000 * np.exp(-1.5 * (radius - 2.5)))
        self.path = Path(f"spheres-{count}-{size}-{seed}.json")
        self.patient_ids = tuple(f"P{i:03d}" for i in range(count))
        self.groups: list[str | None] = [None] * count
        self.targets = {"tumour": "segmentation", "survival": "survival", "large": "classification"}
        self.labels = {
            "survival": np.stack([np.minimum(time, 1500), time < 1500], 1).astype(np.float32),
            "large": (radius > 2.5).astype(np.int64),
        }
        self.labelled = {name: np.ones(count, bool) for name in self.targets}
        self.labelled["tumour"][3::7] = False
        self.labelled["survival"][5::9] = False
        self.labelled["large"][2::5] = False
        self.loaded: list[list[int]] = []

    def prepared_mask(self, index: int, target: str) -> torch.Tensor:
        """As a prepared cohort gives it."""
        return torch.from_numpy({"tumour": self.mask}[target][index, 0])

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """As a prepared cohort gives it."""
        rows = np.asarray(indices)
        self.loaded.append(rows.tolist())
        values = {"tumour": self.mask, **self.labels}
        labelled = {name: torch.from_numpy(self.labelled[name][rows]) for name in self.targets}
        targets = {name: torch.from_numpy(values[name][rows]) for name in self.targets}
        for name, known in labelled.items():
            targets[name][~known] = 0
        return Batch({"image": torch.from_numpy(self.image[rows])}, targets, labelled, torch.from_numpy(rows))


def small_config(**changes: Any) -> Config:
    """Three tasks on 8 x 8 x 8 voxels, 3 epochs."""
    return replace(
        Config(
            dataset=DatasetConfig(size_voxels=(8, 8, 8), spacing_mm=4.0),
            tasks=(
                SegmentationConfig(name="tumour", target="tumour"),
                SurvivalConfig(name="survival", target="survival"),
                ClassificationConfig(name="large", target="large", class_weights=(1.0, 2.0)),
            ),
            network=NetworkConfig(width=4, depth=2, hidden_features=8),
            optimizer=OptimizerConfig(learning_rate=3e-3),
            training=TrainingConfig(
                epochs=3, batch_size=5, augmentation=AugmentationConfig(shift_mm=4.0, rotation_degrees=5.0)
            ),
            split=SplitConfig(folds=4),
        ),
        **changes,
    )
