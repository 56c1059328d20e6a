"""Scans whose content is known as a function of physical position, on grids of any spacing and direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Box, Cohort, MaskLabel, Patient, SurvivalLabel
from branchpoint.datasets.preparation.kinds import preparation_of
from branchpoint.datasets.preparation.preparation import Preparation

IDENTITY = np.eye(3)
FLIPPED = np.diag([-1.0, -1.0, 1.0])
PERMUTED = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def oblique() -> np.ndarray:
    """Turned by 20 degrees about x, then 30 about z."""
    a, b = np.deg2rad(20), np.deg2rad(30)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_z @ about_x


DIRECTIONS = {"identity": IDENTITY, "flipped": FLIPPED, "permuted": PERMUTED, "oblique": oblique()}


def scan(
    content: Callable[[np.ndarray], np.ndarray],
    *,
    size: Sequence[int] = (40, 40, 40),
    spacing_mm: Sequence[float] = (2.0, 2.0, 2.0),
    centre_mm: Sequence[float] = (0.0, 0.0, 0.0),
    direction: np.ndarray = IDENTITY,
    dtype: type = np.float32,
) -> sitk.Image:
    """``content`` of points (..., 3) in (x, y, z), sampled on a grid around ``centre_mm``."""
    steps = direction * np.array(spacing_mm)
    origin = np.array(centre_mm) - steps @ ((np.array(size) - 1) / 2)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    values = content(index @ steps.T + origin)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)).astype(dtype))
    image.SetOrigin(origin.tolist())
    image.SetSpacing([float(step) for step in spacing_mm])
    image.SetDirection(direction.ravel().tolist())
    return image


def ball(centre_mm: Sequence[float], radius_mm: float, inside: float = 1.0, outside: float = 0.0) -> Callable:
    """Content: ``inside`` within a sphere."""

    def content(points: np.ndarray) -> np.ndarray:
        return np.where(np.linalg.norm(points - np.array(centre_mm), axis=-1) <= radius_mm, inside, outside)

    return content


def write(image: sitk.Image, path: Path) -> Path:
    """Save ``image``, making folders as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def write_patient(root: Path, name: str, number: int = 0, *, mask: bool = True, event: bool = False) -> Patient:
    """A body with a hot ball whose place and size depend on ``number``; CT and PET have different grids."""
    generator = np.random.default_rng(number)
    centre = generator.uniform(-8, 8, 3)
    noise = np.random.default_rng(number + 1000)

    def hounsfield(points: np.ndarray) -> np.ndarray:
        return ball((0, 0, 0), 34, 40.0, -1000.0)(points) + noise.normal(0, 10, points.shape[:-1])

    def uptake(points: np.ndarray) -> np.ndarray:
        return ball((0, 0, 0), 34, 0.8)(points) + ball(centre, 9, 5.0 + number)(points)

    images = {
        "CT": write(scan(hounsfield, size=(40, 40, 24), spacing_mm=(2, 2, 3.3)), root / name / "CT.nii.gz"),
        "PET": write(scan(uptake, size=(20, 20, 24), spacing_mm=(4, 4, 3.3)), root / name / "PET.nii.gz"),
    }
    labels: dict = {"survival": SurvivalLabel(100.0 + number, event)}
    if mask:
        outline = scan(ball(centre, 9), size=(40, 40, 24), spacing_mm=(2, 2, 3.3), dtype=np.uint8)
        labels["tumour"] = MaskLabel(write(outline, root / name / "mask.nii.gz"))
    if number % 3:
        labels["grade"] = number % 2
    box = Box((-40.0, -40.0, -40.0), (40.0, 40.0, 40.0))
    return Patient(
        id=name,
        images=images,
        labels=labels,
        center=f"C{number % 2}",
        covariates={"age": 50.0 + number, "sex": None},
        box=box,
    )


def write_cohort(root: Path, count: int = 3, **changes: Any) -> Cohort:
    """``count`` patients, the last without an outline."""
    patients = tuple(write_patient(root, f"P{n:02d}", n, mask=n != count - 1, event=n % 2 == 0) for n in range(count))
    targets = {"tumour": "segmentation", "survival": "survival", "grade": "classification"}
    cohort = Cohort(name="toy", release="1", root=root, modalities=("CT", "PET"), targets=targets, patients=patients)
    return replace(cohort, **changes)


def toy_dataset(root: Path, **changes: object) -> DatasetConfig:
    """5 mm, 16 voxels along each axis."""
    settings = {"name": "toy", "release": "1", "root": str(root), "spacing_mm": 5.0, "size_voxels": (16, 16, 16)}
    return DatasetConfig(**{**settings, **changes})


def volume_preparation(dataset: DatasetConfig, modalities: Sequence[str] = ("CT", "PET"), **cohort: Any) -> Preparation:
    """How ``dataset`` asks for volumes of ``modalities`` to be prepared."""
    empty = Cohort(
        name="toy", release="1", root=Path("/"), modalities=tuple(modalities), targets={}, patients=(), **cohort
    )
    return preparation_of(empty, dataset)
