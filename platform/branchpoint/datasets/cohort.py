"""A cohort: patients with image paths, and labels per target, any of which may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from branchpoint.datasets.problems.problem import Problem


@dataclass(frozen=True)
class SurvivalLabel:
    """Time to event or censoring in days, and whether the event happened."""

    time_days: float
    event: bool


IGNORED = 255
"""Class id of pixels that have no class: no loss and no metric counts them."""

Codes = tuple[tuple[int, int], ...]
"""Pairs of stored value and class id."""
Content = Literal["required", "optional", "absent"]


@dataclass(frozen=True)
class MaskLayer:
    """One file of a mask, drawn over those before it.

    Attributes:
        path: the file.
        codes: stored value to class id.
        through: stored values that let what lies below show through, background at the bottom.
    """

    path: Path
    codes: Codes
    through: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class MaskLabel:
    """A mask file; the voxel value ``values[i]`` becomes class ``i + 1``, 0 is background.

    What follows ``values`` is for pictures.

    Attributes:
        path: the file, or the first of them.
        values: stored values of classes 1, 2, ...
        layers: every file of the mask with its own codes, the lowest first; replaces ``path`` and ``values``.
        outside: class of what lies outside the picture: background, or :data:`IGNORED` where every class is seen.
        content: whether there is something to see: ``required`` (an empty mask is an error), ``optional``, or
            ``absent`` (a mask that is not empty is an error).
    """

    path: Path
    values: tuple[int, ...] = (1,)
    layers: tuple[MaskLayer, ...] = ()
    outside: int = 0
    content: Content = "required"

    @property
    def files(self) -> tuple[MaskLayer, ...]:
        """Every file of the mask with its codes, the lowest first."""
        return self.layers or (MaskLayer(self.path, tuple((value, i) for i, value in enumerate(self.values, 1))),)

    @classmethod
    def of(cls, *layers: MaskLayer, outside: int = 0, content: Content = "required") -> MaskLabel:
        """The mask that ``layers`` make up."""
        return cls(layers[0].path, layers=layers, outside=outside, content=content)


@dataclass(frozen=True)
class PresenceLabel:
    """Which classes of the mask ``target`` are in the picture: multilabel, found when the mask is prepared."""

    target: str
    classes: int


Label = SurvivalLabel | MaskLabel | PresenceLabel | int | float | tuple[int, ...]
"""Of a target's kind: ``int`` for classification, ``float`` for regression, 0 or 1 of each label for multilabel."""
TargetKind = Literal["segmentation", "survival", "classification", "multilabel", "regression"]
Part = Literal["train", "validation", "test"]
RegionRule = Literal["extent", "head_and_neck"]
"""How the window of a volume is found where no box is published: what all images show, or the head and neck."""


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in physical space, millimetres, (x, y, z)."""

    lower_mm: tuple[float, float, float]
    upper_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Crop:
    """The part of a picture that holds the image; what is around it is a border.

    Attributes:
        top, left, height, width: of the part, in pixels.
        of: (height, width) of the pictures that have the border; pictures of another size have none.
    """

    top: int
    left: int
    height: int
    width: int
    of: tuple[int, int]


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
        group: what belongs together (patient, volume, video), so that no split may part it; ``None`` where the sample
            stands for itself.
        slice: number of the slice, where the images and masks are volumes and the sample is one slice of them.
    """

    id: str
    images: Mapping[str, Path]
    labels: Mapping[str, Label] = field(default_factory=dict)
    center: str | None = None
    covariates: Mapping[str, float | str | None] = field(default_factory=dict)
    box: Box | None = None
    group: str | None = None
    slice: int | None = None

    @property
    def subject(self) -> str:
        """Whom rows of a check are about: the volume that a slice belongs to, else the sample."""
        return self.group if self.slice is not None and self.group else self.id


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """All patients of a release.

    Attributes:
        name: dataset name.
        release: release of the dataset, or ``""``.
        root: folder that was read.
        modalities: image channels, in order.
        targets: target to kind (``segmentation``, ``survival``, ``classification``, ``multilabel``, ``regression``).
        patients: sorted by id.
        problems: rows found while reading tables and folders.
        dimensions: 3 for volumes, 2 for pictures and slices.
        channels: modality of pictures to its channels, 3 for colour; 1 where it is not among them.
        crop: of pictures: the part that is used.
        region: of volumes: how the window is found for patients without a published box.
        cut_margins_mm: of volumes that were cropped around the tumour: how much of each margin may be cut in training,
            so that the crop does not give the tumour away; 0 for whole scans.
        class_names: target to the names of its classes (segmentation: from class 1, or from 0 where there is no
            background) or labels, in order.
        splits: name of a split that comes with the data (``official``, ``paper``) to the part of each patient; who is
            not among them is left out.
        accepted: rule of the check to the reason for which its warnings are accepted.
    """

    name: str
    release: str
    root: Path
    modalities: tuple[str, ...]
    targets: Mapping[str, TargetKind]
    patients: tuple[Patient, ...]
    problems: tuple[Problem, ...] = ()
    dimensions: Literal[2, 3] = 3
    channels: Mapping[str, int] = field(default_factory=dict)
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, Part]] = field(default_factory=dict)
    crop: Crop | None = None
    region: RegionRule = "extent"
    cut_margins_mm: float = 0.0
    accepted: Mapping[str, str] = field(default_factory=dict)
