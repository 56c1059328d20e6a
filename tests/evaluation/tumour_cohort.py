"""A cohort in memory whose outcomes follow from its tumours by known rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from branchpoint.datasets.batch import Batch
from branchpoint.evaluation.references import Reference

VOXEL_ML = 0.064


@dataclass
class TumourCohort:
    """CT and PET (in SUV), masks and labels in memory; the batch's image is normalised as a real one."""

    ct: np.ndarray
    suv: np.ndarray
    masks: np.ndarray
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    labelled: dict[str, np.ndarray] = field(default_factory=dict)
    covariates: Sequence[Mapping[str, float | str | None]] = ()
    modalities: tuple[str, ...] = ("CT", "PET")

    def __post_init__(self) -> None:
        self.labelled = {
            "tumour": np.ones(len(self.suv), bool),
            **{name: np.ones(len(self.suv), bool) for name in self.labels},
            **self.labelled,
        }
        self.covariates = self.covariates or [{}] * len(self.suv)

    @property
    def patient_ids(self) -> tuple[str, ...]:
        return tuple(f"P{i:03}" for i in range(len(self.suv)))

    @property
    def targets(self) -> dict[str, str]:
        return {"tumour": "segmentation", "survival": "survival", "grade": "classification"}

    def batch(self, indices: Sequence[int]) -> Batch:
        index = np.asarray(indices)
        offset, scale = np.array([0.0, 0.3]), np.array([1024.0, 2.5])
        raw = np.stack([self.ct[index], self.suv[index]], 1)
        image = (raw - offset[None, :, None, None, None]) / scale[None, :, None, None, None]
        channels = len(self.modalities)
        return Batch(
            inputs={
                "image": torch.tensor(image[:, :channels], dtype=torch.float32),
                "intensity_offset": torch.tensor(np.tile(offset, (len(index), 1))[:, :channels], dtype=torch.float32),
                "intensity_scale": torch.tensor(np.tile(scale, (len(index), 1))[:, :channels], dtype=torch.float32),
                "voxel_ml": torch.full((len(index),), VOXEL_ML),
            },
            targets={"tumour": torch.tensor(self.masks[index][:, None])},
            labelled={"tumour": torch.tensor(self.labelled["tumour"][index])},
            index=torch.tensor(index),
        )


def cohort(n: int = 40, seed: int = 0) -> TumourCohort:
    """Cubes of 2 to 6 voxels with uptake 5 to 20 at random places; time falls with volume, grade with uptake.

    Noise below SUV 1 around them, so that the largest component above 2.5 is the tumour.
    """
    rng = np.random.default_rng(seed)
    suv, masks = rng.uniform(0, 1, (n, 16, 18, 20)), np.zeros((n, 16, 18, 20), np.uint8)
    sizes, uptakes = rng.integers(2, 7, n), rng.uniform(5, 20, n)
    for i in range(n):
        z, y, x = (rng.integers(0, length - sizes[i] + 1) for length in suv.shape[1:])
        masks[i, z : z + sizes[i], y : y + sizes[i], x : x + sizes[i]] = 1
        suv[i][masks[i] == 1] = uptakes[i]
    time = 1000.0 - 100 * sizes - uptakes
    event = rng.random(n) < 0.5
    return TumourCohort(
        ct=rng.uniform(-1000, 500, suv.shape),
        suv=suv,
        masks=masks,
        labels={"survival": np.stack([time, event], 1), "grade": np.digitize(uptakes, [10, 15])},
        covariates=[{"age": 50.0 + 3 * sizes[i], "t_stage": f"T{sizes[i] // 2}", "n_stage": "N1"} for i in range(n)],
    )


def by_label(found: Sequence[Reference], task: str) -> dict[str, Reference]:
    return {reference.label: reference for reference in found if reference.task == task}
