"""A cohort: patients with image paths, and labels per target, any of which may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from branchpoint.datasets.problems import Problem


@dataclass(frozen=True)
class SurvivalLabel:
    """Time to event or censoring in days, and whether the event happened."""

    time_days: float
    event: bool


@dataclass(frozen=True)
class MaskLabel:
    """A mask file; the voxel value ``values[i]`` becomes class ``i + 1``, 0 is background."""

    path: Path
    values: tuple[int, ...] = (1,)


Label = SurvivalLabel | MaskLabel | int | float
TargetKind = Literal["segmentation", "survival", "classification", "regression"]


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in physical space, millimetres, (x, y, z)."""

    lower_mm: tuple[float, float, float]
    upper_mm: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One patient (or image) of a cohort.

    Attributes:
        id: unique in the cohort.
        images: modality (``CT``, ``PET``) to file.
        labels: target to label; a target that is absent is unlabelled for this patient.
        center: where the scan was made.
        covariates: clinical values by name; ``None`` where missing.
        box: published bounding box, where the release has one.
    """

    id: str
    images: Mapping[str, Path]
    labels: Mapping[str, Label] = field(default_factory=dict)
    center: str | None = None
    covariates: Mapping[str, float | str | None] = field(default_factory=dict)
    box: Box | None = None


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """All patients of a release.

    Attributes:
        name: dataset name.
        release: release of the dataset, or ``""``.
        root: folder that was read.
        modalities: image channels, in order.
        targets: target to kind (``segmentation``, ``survival``, ``classification``, ``regression``).
        patients: sorted by id.
        problems: rows found while reading tables and folders.
    """

    name: str
    release: str
    root: Path
    modalities: tuple[str, ...]
    targets: Mapping[str, TargetKind]
    patients: tuple[Patient, ...]
    problems: tuple[Problem, ...] = ()
