"""CT, PET and other scans on one isotropic window, normalised as in Andrearczyk et al. (2021), section 2.6.

Images are resampled trilinearly and outlines by the nearest neighbour (:mod:`branchpoint.datasets.preparation.grid`);
:mod:`branchpoint.datasets.preparation.regions` chooses the window. CT is clipped to [-1024, 1024] HU and divided by
1024; every other modality is standardised to zero mean and unit variance over the part of the window that the scan
covers. Where it covers nothing, channels hold air (CT) or zero (PET) in their own units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from branchpoint.config import DatasetConfig
from branchpoint.datasets.checks.volume_cohort import check_volumes
from branchpoint.datasets.cohort import Box, Cohort, MaskLabel, Patient, RegionRule
from branchpoint.datasets.input_hashes import InputHashes, fingerprint
from branchpoint.datasets.preparation.grid import Image, Window, place_back, resample_linear, resample_nearest
from branchpoint.datasets.preparation.modalities import unit_of
from branchpoint.datasets.preparation.native import NativeMask, NativeProbabilities
from branchpoint.datasets.preparation.placement import VolumePlacement
from branchpoint.datasets.preparation.preparation import STORAGE, Cuts, Placement, Preparation, Prepared
from branchpoint.datasets.preparation.regions import Region, find_region, largest_cuts
from branchpoint.datasets.preparation.volume_files import Grid, data_files, grid_of, read_image
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.reader import Reader

VERSION = 3
"""Raise it whenever the same files and settings would give other values."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Values are clipped to [``lower``, ``upper``] and divided by ``divisor``; the scan's surroundings are air."""

    kind: ClassVar[str] = "clip"

    lower: float = -1024.0
    upper: float = 1024.0
    divisor: float = 1024.0
    background: float = -1024.0


@dataclass(frozen=True, kw_only=True)
class Standardize:
    """Zero mean and unit variance over the part of the window that the scan covers."""

    kind: ClassVar[str] = "standardize"

    background: float = 0.0


@dataclass(frozen=True, kw_only=True)
class VolumePreparation(Preparation):
    """How volumes are prepared.

    Attributes:
        modalities: in order.
        channels: 1 for each modality.
        intensities: of each modality, how its values are normalised.
        spacing_mm: isotropic.
        size_voxels: (D, H, W) of the window.
        margin_voxels: along (D, H, W), what a cache keeps around the window for training.
        region: how the window is found where no box is given.
        cut_margins_mm: how much of each margin training may cut; nothing is cut at prediction.
        storage: precision in the cache, and of what a network sees.
        version: of the code.
    """

    kind: ClassVar[str] = "volume"

    modalities: tuple[str, ...]
    channels: tuple[int, ...]
    intensities: tuple[Clip | Standardize, ...]
    spacing_mm: float
    size_voxels: tuple[int, ...]
    margin_voxels: tuple[int, ...] = (0, 0, 0)
    region: RegionRule = "extent"
    cut_margins_mm: float = 0.0
    storage: str = np.dtype(STORAGE).name
    version: int = VERSION

    def __post_init__(self) -> None:
        if len(self.size_voxels) != 3:
            raise ValueError(f"dataset.size_voxels is {self.size_voxels}: the samples are volumes, give (D, H, W)")

    @classmethod
    def of(cls, cohort: Cohort, dataset: DatasetConfig) -> Self:
        """As the base class says."""
        cut_mm = cohort.cut_margins_mm if dataset.cut_margins else 0.0
        margin = math.ceil((dataset.margin_mm + cut_mm / 2) / dataset.spacing_mm)  # a cut moves the centre by half
        return cls(
            modalities=tuple(cohort.modalities),
            channels=(1,) * len(cohort.modalities),
            intensities=tuple(Clip() if unit_of(name) == "HU" else Standardize() for name in cohort.modalities),
            spacing_mm=dataset.spacing_mm,
            size_voxels=dataset.size_voxels,
            margin_voxels=(margin,) * 3,
            region=cohort.region,
            cut_margins_mm=cut_mm,
        )

    @property
    def standardized(self) -> tuple[bool, ...]:
        """As the base class says."""
        return tuple(isinstance(rule, Standardize) for rule in self.intensities)

    @staticmethod
    def check(cohort: Cohort, reader: Reader, *, workers: int = 0, progress: bool = False) -> list[Problem]:
        """As the base class says."""
        return check_volumes(cohort, reader, workers=workers, progress=progress)

    def key(self, patient: Patient, mask_targets: Sequence[str], hashes: InputHashes) -> str:
        """As the base class says."""

        def contents(path: Path) -> list[str]:
            return [hashes.of(file) for file in (path, *data_files(path))]

        labels = _mask_labels(patient, mask_targets)
        images = {name: contents(patient.images[name]) for name in self.modalities if name in patient.images}
        return fingerprint(
            {
                **self.plain(),
                "box": [patient.box.lower_mm, patient.box.upper_mm] if patient.box else None,
                "images": images,
                "targets": list(mask_targets),
                "masks": {name: [*contents(label.path), label.values] for name, label in labels.items()},
            }
        )

    def prepare(
        self,
        patient: Patient,
        mask_targets: Sequence[str] = (),
        *,
        opened: Mapping[str, Image] | None = None,
        with_margin: bool = False,
    ) -> Prepared:
        """As the base class says.

        The window has the centre of the patient's region. What is smaller is padded with background, what is larger
        is cut evenly on both sides; ``lost_mask`` tells how much of an outline that costs.
        """
        opened = opened or {}
        missing = [name for name in self.modalities if name not in patient.images and name not in opened]
        if missing:
            raise ValueError(f"patient {patient.id} has no {missing[0]} image; restore it or leave the patient out")
        images = {
            name: _require_scalar(opened[name], patient, name, "the image in memory")
            if name in opened
            else _read(patient, name, patient.images[name])
            for name in self.modalities
        }
        outlines = {
            name: _Outline.read(patient, name, label) for name, label in _mask_labels(patient, mask_targets).items()
        }
        try:
            region = find_region(patient.box, self.region, images)
        except ValueError as problem:
            raise ValueError(f"patient {patient.id}: {problem}") from problem
        margin = self.margin_voxels if with_margin else (0, 0, 0)
        window = Window.around(region.box, self.spacing_mm, self.size_voxels)
        grown = window.grown(margin)
        channels = [
            _channel(patient, name, images[name], rule, grown, margin)
            for name, rule in zip(self.modalities, self.intensities, strict=True)
        ]
        masks = {name: outline.on(grown) for name, outline in outlines.items()}
        core = tuple(slice(m, m + n) for m, n in zip(margin, self.size_voxels, strict=True))
        return Prepared(
            image=np.stack([channel.values for channel in channels]).astype(STORAGE),
            masks=_stack(masks, mask_targets, grown),
            offset=np.array([channel.offset for channel in channels], np.float32),
            scale=np.array([channel.scale for channel in channels], np.float32),
            background=np.array([channel.background for channel in channels], np.float32),
            placement=VolumePlacement(window, self.modalities, tuple(grid_of(image) for image in images.values())),
            rule=region.rule,
            mask_ml={name: outline.volume_ml for name, outline in outlines.items()},
            kept_ml={name: int((mask[core] > 0).sum()) * self.voxel_ml for name, mask in masks.items()},
            lost_mask={name: outline.share_outside(window) for name, outline in outlines.items()},
            native={name: outline.native for name, outline in outlines.items()},
            margin_voxels=margin,
            cuts=self._cuts(region, grown, list(outlines.values())),
        )

    def place_back(
        self, probabilities: np.ndarray, placement: Placement, *, onto: Grid | str | None = None, outside: int = 0
    ) -> NativeProbabilities:
        """As the base class says."""
        if not isinstance(placement, VolumePlacement):
            raise TypeError(f"a volume is placed by a VolumePlacement, not by {placement!r}")
        grid = onto if isinstance(onto, Grid) else placement.grid(onto)
        return place_back(probabilities, placement.window, grid, outside)

    def _cuts(self, region: Region, grown: Window, outlines: Sequence[_Outline]) -> Cuts | None:
        if not self.cut_margins_mm or region.rule != "extent":
            return None
        largest = largest_cuts(region.box, _bounding_box(outlines), self.cut_margins_mm)[::-1]
        shown = grown.bounds(region.box)
        return Cuts(tuple((int(a), int(b)) for a, b in shown), tuple((float(a), float(b)) for a, b in largest))


def _mask_labels(patient: Patient, targets: Sequence[str]) -> dict[str, MaskLabel]:
    return {name: label for name in targets if isinstance(label := patient.labels.get(name), MaskLabel)}


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


def _channel(
    patient: Patient, modality: str, image: Image, rule: Clip | Standardize, grown: Window, margin: Sequence[int]
) -> _Channel:
    """One modality on the window with its margin; what it is normalised by is that of the window alone."""
    core = tuple(slice(m, n - m) for m, n in zip(margin, grown.size_voxels, strict=True))
    try:
        values, known = resample_linear(image, grown)
        seen = values[core][known[core]]
        if not seen.size:
            raise ValueError("does not meet the patient's window; check the image's origin and the bounding box")
        if isinstance(rule, Clip):
            offset, scale = 0.0, rule.divisor
            values = np.clip(values, rule.lower, rule.upper)
        else:
            offset, scale = float(seen.mean(dtype=np.float64)), _spread(seen)
    except ValueError as problem:
        source = patient.images.get(modality, "the image in memory")
        raise ValueError(f"patient {patient.id}, {modality}: {source}: {problem}") from problem
    air = rule.background
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
    return _require_scalar(image, patient, part, str(path))


def _require_scalar(image: Image, patient: Patient, part: str, source: str) -> Image:
    dimensions, values = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if dimensions != 3 or values != 1:
        raise ValueError(
            f"patient {patient.id}, {part}: {source} has {dimensions} dimensions and {values} values per voxel; "
            "a scan has 3 and 1"
        )
    return image


@dataclass(frozen=True)
class _Outline:
    """An outline on its own window.

    Attributes:
        points_mm: (N, 3), centres of its voxels, (x, y, z).
        native: its classes in the file.
    """

    image: Image
    label: MaskLabel
    points_mm: np.ndarray
    native: NativeMask

    @classmethod
    def read(cls, patient: Patient, target: str, label: MaskLabel) -> _Outline:
        import SimpleITK as sitk

        image = _read(patient, target, label.path)
        grid, classes = grid_of(image), _classes(sitk.GetArrayViewFromImage(image), label)
        return cls(image, label, grid.to_mm(np.argwhere(classes)[:, ::-1]), NativeMask.cropped(classes, grid))

    @property
    def volume_ml(self) -> float:
        return len(self.points_mm) * float(np.prod(self.native.spacing_mm)) / 1000

    def on(self, window: Window) -> np.ndarray:
        """uint8 (D, H, W): class ids."""
        return _classes(resample_nearest(self.image, window), self.label)

    def share_outside(self, window: Window) -> float:
        """Share of its voxels whose centre is not in the window; 0 for an empty outline."""
        box = window.box
        inside = np.all((self.points_mm >= box.lower_mm) & (self.points_mm <= box.upper_mm), axis=1)
        return float(1 - inside.mean()) if len(inside) else 0.0


def _classes(stored: np.ndarray, label: MaskLabel) -> np.ndarray:
    """uint8: class ids of the stored values."""
    classes = np.zeros(stored.shape, np.uint8)
    for number, value in enumerate(label.values, start=1):
        classes[stored == value] = number
    return classes


def _bounding_box(outlines: Sequence[_Outline]) -> Box | None:
    """Bounds of all outlines together, by voxel centres; ``None`` where they are empty."""
    points = [outline.points_mm for outline in outlines if len(outline.points_mm)]
    if not points:
        return None
    lower = np.min([part.min(axis=0) for part in points], axis=0)
    upper = np.max([part.max(axis=0) for part in points], axis=0)
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))
