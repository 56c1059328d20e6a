"""One patient's scan on one isotropic window, normalised (paper 003, 2.6); no randomness but the cut margins.

Resampling (CT and PET trilinear, outlines nearest neighbour) is in :mod:`branchpoint.datasets.preparation.grid`, the
choice of the window in :mod:`branchpoint.datasets.preparation.regions`. CT is clipped to [-1024, 1024] HU and divided
by 1024; every other modality is standardised to zero mean and unit variance over the part of the window that the scan
covers. Where it does not, channels hold air (CT) or zero (PET) in their own units. ``image * scale + offset`` gives
those units back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Box, MaskLabel, Patient
from branchpoint.datasets.preparation.grid import Image, Window, resample_linear, resample_nearest
from branchpoint.datasets.preparation.placement import Placement
from branchpoint.datasets.preparation.regions import Region, find_region
from branchpoint.datasets.preparation.volume_files import grid_of, read_image

VERSION = 1
"""Part of the cache's keys: raise it whenever the same files and settings would give other values."""

HU_LIMIT = 1024.0
AIR_HU = -1024.0


@dataclass(frozen=True)
class PreparedPatient:
    """What the network sees of a patient.

    Attributes:
        image: float32 (C, D, H, W), normalised; pictures of 8 bits uint8 (C, H, W), as in the file.
        masks: uint8 (T, D, H, W), class ids of the T segmentation targets; zero where unlabelled.
        offset, scale, background: float32 (C,); ``image * scale + offset`` is in HU or SUV, ``background`` is the
            normalised value of air or of zero SUV.
        window: where the voxels lie.
        rule: how the window was found.
        mask_ml: segmentation target to the volume of its outline in the file.
        kept_ml: the same after resampling, inside the window.
        lost_mask: segmentation target to the share of its outline that lies outside the window.
        placement: of a picture on its grid; ``None`` for volumes.
        present: segmentation target to the class ids in its file; of pictures.
    """

    image: np.ndarray
    masks: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    background: np.ndarray
    window: Window
    rule: str
    mask_ml: Mapping[str, float]
    kept_ml: Mapping[str, float]
    lost_mask: Mapping[str, float]
    placement: Placement | None = None
    present: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def preprocess(
    patient: Patient, dataset: DatasetConfig, modalities: Sequence[str], mask_targets: Sequence[str] = ()
) -> PreparedPatient:
    """Read, window, resample and normalise one patient.

    The window has ``dataset.size_voxels`` of ``dataset.spacing_mm`` and the centre of the patient's region. What is
    smaller is padded with background, what is larger is cut evenly on both sides; ``lost_mask`` tells how much of an
    outline that costs.

    Raises:
        ValueError: a file is missing or unreadable, holds values that are not finite, is constant, or does not meet
            the window; the message names patient, modality or target, and file.
    """
    if len(dataset.size_voxels) != 3:
        raise ValueError(f"dataset.size_voxels is {dataset.size_voxels}: scans are volumes, give (D, H, W)")
    missing = [name for name in modalities if name not in patient.images]
    if missing:
        raise ValueError(f"patient {patient.id} has no {missing[0]} image; restore it or leave the patient out")
    images = {name: _read(patient, name, patient.images[name]) for name in modalities}
    labels = {name: label for name in mask_targets if isinstance(label := patient.labels.get(name), MaskLabel)}
    outlines = {name: _Outline.read(patient, name, label) for name, label in labels.items()}
    try:
        region = find_region(patient, dataset, images, _bounding_box(list(outlines.values())))
    except ValueError as problem:
        raise ValueError(f"patient {patient.id}: {problem}") from problem
    window = Window.around(region.box, dataset.spacing_mm, dataset.size_voxels)
    within = window.inside(region.box) if region.bounded else np.ones(window.size_voxels, bool)
    channels = [_channel(patient, name, image, window, within) for name, image in images.items()]
    masks = {name: outline.on(window) * within for name, outline in outlines.items()}
    return PreparedPatient(
        image=np.stack([channel.values for channel in channels]),
        masks=_stack(masks, mask_targets, window),
        offset=np.array([channel.offset for channel in channels], np.float32),
        scale=np.array([channel.scale for channel in channels], np.float32),
        background=np.array([channel.background for channel in channels], np.float32),
        window=window,
        rule=region.rule,
        mask_ml={name: outline.volume_ml for name, outline in outlines.items()},
        kept_ml={name: int((mask > 0).sum()) * dataset.spacing_mm**3 / 1000 for name, mask in masks.items()},
        lost_mask={name: outline.share_outside(window, region) for name, outline in outlines.items()},
    )


def _stack(masks: Mapping[str, np.ndarray], targets: Sequence[str], window: Window) -> np.ndarray:
    """uint8 (T, D, H, W); zeros where a target has no outline."""
    stack = np.zeros((len(targets), *window.size_voxels), np.uint8)
    for row, name in zip(stack, targets, strict=True):
        if name in masks:
            row[:] = masks[name]
    return stack


@dataclass(frozen=True)
class _Channel:
    values: np.ndarray
    offset: float
    scale: float
    background: float


def _channel(patient: Patient, modality: str, image: Image, window: Window, within: np.ndarray) -> _Channel:
    try:
        values, known = resample_linear(image, window)
        known &= within
        if not known.any():
            raise ValueError("does not meet the patient's window; check the image's origin and the bounding box")
        if modality == "CT":
            offset, scale, air = 0.0, HU_LIMIT, AIR_HU
            values = np.clip(values, -HU_LIMIT, HU_LIMIT)
        else:
            offset, scale, air = float(values[known].mean(dtype=np.float64)), _spread(values[known]), 0.0
    except ValueError as problem:
        raise ValueError(f"patient {patient.id}, {modality}: {patient.images[modality]}: {problem}") from problem
    values = np.where(known, values, np.float32(air))
    return _Channel((values - np.float32(offset)) / np.float32(scale), offset, scale, (air - offset) / scale)


def _spread(values: np.ndarray) -> float:
    spread = float(values.std(dtype=np.float64))
    if spread == 0:
        raise ValueError(f"is {values[0]} throughout the window, so it cannot be standardised; check the image")
    return spread


def _read(patient: Patient, part: str, path: Path) -> Image:
    """A volume with one value per voxel."""
    try:
        image = read_image(path)
    except ValueError as problem:
        raise ValueError(f"patient {patient.id}, {part}: {problem}") from problem
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(
            f"patient {patient.id}, {part}: {path} has {image.GetDimension()} dimensions and "
            f"{image.GetNumberOfComponentsPerPixel()} values per voxel; a scan has 3 and 1"
        )
    return image


@dataclass(frozen=True)
class _Outline:
    """An outline on its own window.

    Attributes:
        points_mm: (N, 3), centres of its voxels, (x, y, z).
        voxel_ml: volume of one of them.
    """

    image: Image
    label: MaskLabel
    points_mm: np.ndarray
    voxel_ml: float

    @classmethod
    def read(cls, patient: Patient, target: str, label: MaskLabel) -> _Outline:
        import SimpleITK as sitk

        image = _read(patient, target, label.path)
        voxels = np.argwhere(np.isin(sitk.GetArrayViewFromImage(image), label.values))
        return cls(image, label, grid_of(image).to_mm(voxels[:, ::-1]), float(np.prod(image.GetSpacing())) / 1000)

    @property
    def volume_ml(self) -> float:
        return len(self.points_mm) * self.voxel_ml

    def on(self, window: Window) -> np.ndarray:
        """uint8 (D, H, W): class ids."""
        stored = resample_nearest(self.image, window)
        classes = np.zeros(stored.shape, np.uint8)
        for number, value in enumerate(self.label.values, start=1):
            classes[stored == value] = number
        return classes

    def share_outside(self, window: Window, region: Region) -> float:
        """Share of its voxels whose centre is not in the window, or is blanked; 0 for an empty outline."""
        inside = np.ones(len(self.points_mm), bool)
        for box in (window.box, region.box) if region.bounded else (window.box,):
            inside &= ((self.points_mm >= box.lower_mm) & (self.points_mm <= box.upper_mm)).all(axis=1)
        return float(1 - inside.mean()) if len(inside) else 0.0


def _bounding_box(outlines: Sequence[_Outline]) -> Box | None:
    """Bounds of all outlines together, by voxel centres; ``None`` where they are empty."""
    points = [outline.points_mm for outline in outlines if len(outline.points_mm)]
    if not points:
        return None
    lower = np.min([part.min(axis=0) for part in points], axis=0)
    upper = np.max([part.max(axis=0) for part in points], axis=0)
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))
