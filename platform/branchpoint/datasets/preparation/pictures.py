"""Pictures, and slices of volumes, on a grid of (H, W) pixels, with their masks.

The used part (:class:`branchpoint.datasets.cohort.Crop`) is resized: pictures bilinear, smoothed first where they get
smaller (Pillow), masks by the nearest pixel. They are stretched to the grid, or with ``keep_aspect`` fitted into it,
centred, with black around. Intensities go from 0 (black) to 1 (the largest of the stored type) and are then normalised;
nothing is learned from other pictures.

Pictures of 8 bits are kept in 8 bits and normalised when a batch is made: half the memory, and as exact as the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from branchpoint.config import DatasetConfig
from branchpoint.datasets.checks.picture_cohort import check_pictures
from branchpoint.datasets.cohort import IGNORED, Cohort, Crop, MaskLabel, Patient
from branchpoint.datasets.input_hashes import InputHashes, fingerprint
from branchpoint.datasets.preparation.image_files import orientation_of, read_classes, read_picture, size_text
from branchpoint.datasets.preparation.native import NativeMask, NativeProbabilities
from branchpoint.datasets.preparation.placement import PicturePlacement, nearest
from branchpoint.datasets.preparation.preparation import STORAGE, Placement, Preparation, Prepared
from branchpoint.datasets.preparation.volume_files import Grid, data_files
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.reader import Reader

VERSION = 2
"""Raise it whenever the same files and settings would give other values."""


@dataclass(frozen=True, kw_only=True)
class PicturePreparation(Preparation):
    """How pictures are prepared.

    Attributes:
        modalities: in order.
        channels: of each modality: 1 for grey, 3 for colour.
        size_voxels: (H, W).
        spacing_mm: 1, for a pixel.
        margin_voxels: none, for the whole picture is on the grid.
        keep_aspect: keep proportions and fill up with black, instead of stretching.
        crop: the part of the pictures that is used.
        intensities: ``fixed``: (value - ``offset``) / ``scale`` of values from 0 to 1; ``image``: each picture, all
            its channels together, gets zero mean and unit variance.
        storage: precision of deep pictures in the cache, and of what a network sees of them.
        version: of the code.
    """

    kind: ClassVar[str] = "picture"

    modalities: tuple[str, ...]
    channels: tuple[int, ...]
    size_voxels: tuple[int, ...]
    spacing_mm: float = 1.0
    margin_voxels: tuple[int, ...] = (0, 0)
    keep_aspect: bool = False
    crop: Crop | None = None
    intensities: Literal["fixed", "image"] = "fixed"
    offset: float = 0.5
    scale: float = 0.25
    storage: str = np.dtype(STORAGE).name
    version: int = VERSION

    def __post_init__(self) -> None:
        if len(self.size_voxels) != 2:
            raise ValueError(f"dataset.size_voxels is {self.size_voxels}: the samples are pictures, give (H, W)")

    @classmethod
    def of(cls, cohort: Cohort, dataset: DatasetConfig) -> Self:
        """As the base class says."""
        return cls(
            modalities=tuple(cohort.modalities),
            channels=tuple(cohort.channels.get(name, 1) for name in cohort.modalities),
            size_voxels=dataset.size_voxels,
            spacing_mm=dataset.spacing_mm,
            keep_aspect=dataset.keep_aspect,
            crop=cohort.crop,
            intensities=dataset.intensities,
        )

    @staticmethod
    def check(cohort: Cohort, reader: Reader, *, workers: int = 0, progress: bool = False) -> list[Problem]:
        """As the base class says."""
        return check_pictures(cohort, reader, workers=workers, progress=progress)

    def key(self, patient: Patient, mask_targets: Sequence[str], hashes: InputHashes) -> str:
        """As the base class says."""

        def contents(path: Path) -> list[str]:
            return [hashes.of(file) for file in (path, *data_files(path))]

        masks = {
            name: [[[*contents(layer.path), layer.codes, layer.through] for layer in label.files], label.outside]
            for name, label in _mask_labels(patient, mask_targets).items()
        }
        images = [[name, *contents(patient.images[name])] for name in self.modalities if name in patient.images]
        plain = {**self.plain(), "crop": astuple(self.crop) if self.crop else None}
        return fingerprint(
            {**plain, "slice": patient.slice, "images": images, "targets": list(mask_targets), "masks": masks}
        )

    def prepare(
        self,
        patient: Patient,
        mask_targets: Sequence[str] = (),
        *,
        opened: Mapping[str, Any] | None = None,
        with_margin: bool = False,
    ) -> Prepared:
        """As the base class says; there is nothing around a whole picture."""
        opened = opened or {}
        missing = [name for name in self.modalities if name not in patient.images and name not in opened]
        if missing:
            raise ValueError(f"patient {patient.id} has no {missing[0]} image; restore it or leave the patient out")
        try:
            pictures = {
                name: _in_memory(opened[name], channels)
                if name in opened
                else read_picture(patient.images[name], channels, patient.slice)
                for name, channels in zip(self.modalities, self.channels, strict=True)
            }
            placement = self._placement(patient, next(iter(pictures.values())), opened)
            _require_same_size(patient, pictures, placement)
            parts = [self._channels(picture, placement) for picture in pictures.values()]
            masks = {
                name: _mask(label, patient.slice, placement)
                for name, label in _mask_labels(patient, mask_targets).items()
            }
        except ValueError as problem:
            raise ValueError(f"patient {patient.id}: {problem}") from problem
        unlabelled = np.zeros(self.size_voxels, np.uint8)
        planes = [masks[name].classes if name in masks else unlabelled for name in mask_targets]
        as_stored = all(part.pixels.dtype == np.uint8 for part in parts)
        return Prepared(
            image=np.concatenate([part.pixels if as_stored else part.normalized.astype(STORAGE) for part in parts]),
            masks=np.stack(planes) if planes else unlabelled[None][:0],
            offset=np.concatenate([part.offset for part in parts]),
            scale=np.concatenate([part.scale for part in parts]),
            background=np.concatenate([-part.offset / part.scale for part in parts]),
            placement=placement,
            rule="extent" if placement.is_whole else "crop",
            mask_ml={name: mask.file_ml for name, mask in masks.items()},
            kept_ml={name: mask.kept_ml for name, mask in masks.items()},
            lost_mask={name: mask.lost for name, mask in masks.items()},
            native={name: mask.native for name, mask in masks.items()},
            present={name: mask.present for name, mask in masks.items()},
            margin_voxels=self.margin_voxels,
        )

    def place_back(
        self, probabilities: np.ndarray, placement: Placement, *, onto: Grid | str | None = None, outside: int = 0
    ) -> NativeProbabilities:
        """As the base class says; ``onto`` plays no part. The result lies as the file does, not upright."""
        if not isinstance(placement, PicturePlacement):
            raise TypeError(f"a picture is placed by a PicturePlacement, not by {placement!r}")
        if probabilities.shape[1:] != placement.grid:
            raise ValueError(f"probabilities have the shape {probabilities.shape}, the grid {placement.grid}")
        top, left, height, width = placement.inside
        crop_top, crop_left, *crop_size = placement.crop

        def sample(channel: int) -> np.ndarray:
            part = np.asarray(probabilities[channel, top : top + height, left : left + width], np.float32)
            return _resize(part[:, :, None], (crop_size[0], crop_size[1]))[:, :, 0]

        region = (slice(crop_top, crop_top + crop_size[0]), slice(crop_left, crop_left + crop_size[1]))
        return NativeProbabilities(
            placement.source, region, len(probabilities), sample, outside, turn=placement.as_stored
        )

    def _placement(self, patient: Patient, picture: np.ndarray, opened: Mapping[str, Any]) -> PicturePlacement:
        source: tuple[int, int] = picture.shape[:2]
        crop = self.crop
        part = (crop.top, crop.left, crop.height, crop.width) if crop and crop.of == source else (0, 0, *source)
        height, width = self.size_voxels
        inside = (0, 0, height, width)
        if self.keep_aspect:
            zoom = min(height / part[2], width / part[3])
            fitted = max(1, round(part[2] * zoom)), max(1, round(part[3] * zoom))
            inside = ((height - fitted[0]) // 2, (width - fitted[1]) // 2, *fitted)
        first = self.modalities[0]
        orientation = 1 if first in opened else orientation_of(patient.images[first])
        return PicturePlacement(source, part, inside, (height, width), orientation)

    def _channels(self, picture: np.ndarray, placement: PicturePlacement) -> _Part:
        resized = _resize(placement.cropped(picture), placement.inside[2:])
        white = float(np.iinfo(picture.dtype).max)
        offset, scale = self.offset, self.scale
        if self.intensities == "image":
            offset, scale = float(resized.mean(dtype=np.float64)) / white, float(resized.std(dtype=np.float64)) / white
            if scale == 0:
                raise ValueError(
                    f"every pixel is {resized.flat[0]}, so the picture cannot be standardised; check the file"
                )
        canvas = np.zeros((picture.shape[2], *placement.grid), resized.dtype)
        top, left, height, width = placement.inside
        canvas[:, top : top + height, left : left + width] = resized.transpose(2, 0, 1)
        count = len(canvas)
        return _Part(canvas, white, np.full(count, offset, np.float32), np.full(count, scale, np.float32))


def _mask_labels(patient: Patient, targets: Sequence[str]) -> dict[str, MaskLabel]:
    return {name: label for name in targets if isinstance(label := patient.labels.get(name), MaskLabel)}


def _in_memory(pixels: np.ndarray, channels: int) -> np.ndarray:
    """uint8 or uint16 (H, W, channels) of a grey or colour picture."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"pixels are {pixels.dtype}; give 8 or 16 bits without sign")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None].repeat(channels, axis=2)
    if pixels.shape[2] != channels:
        raise ValueError(f"a picture of {pixels.shape[2]} channels, where {channels} are asked for")
    return pixels


@dataclass(frozen=True)
class _Part:
    """The channels of one modality: (C, H, W) from 0 to ``white``; offset and scale (C,), of 0 to 1."""

    pixels: np.ndarray
    white: float
    offset: np.ndarray
    scale: np.ndarray

    @property
    def normalized(self) -> np.ndarray:
        """float32 (C, H, W)."""
        values = self.pixels.astype(np.float32) / np.float32(self.white)
        return (values - self.offset[:, None, None]) / self.scale[:, None, None]


def _resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, (H, W, C): uint8 stays, deeper pixels become float32."""
    from PIL import Image

    deep = picture.dtype != np.uint8
    planes = [np.ascontiguousarray(plane, np.float32 if deep else np.uint8) for plane in picture.transpose(2, 0, 1)]
    return np.stack(
        [np.asarray(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BILINEAR)) for plane in planes],
        axis=2,
    )


@dataclass(frozen=True)
class _Mask:
    """Class ids uint8 (H, W) on the grid; areas in 1000 pixels of the grid, as Batch's ``voxel_ml`` counts them."""

    classes: np.ndarray
    file_ml: float
    kept_ml: float
    lost: float
    present: tuple[int, ...]
    native: NativeMask


def _mask(label: MaskLabel, slice_number: int | None, placement: PicturePlacement) -> _Mask:
    stored = read_classes(label, slice_number)
    if stored.shape != placement.source:
        expected = f"{placement.source[1]} x {placement.source[0]}"
        raise ValueError(f"{label.path} has {size_text(stored)}, its image {expected}; export the mask again")
    part = placement.cropped(stored)
    classes = np.full(placement.grid, label.outside, np.uint8)
    top, left, height, width = placement.inside
    classes[top : top + height, left : left + width] = nearest(part, (height, width))
    file, kept = _area(stored), _area(part)
    zoom = height * width / part.size
    grid_pixels = _area(classes[top : top + height, left : left + width])
    present = tuple(np.unique(part).tolist())
    native = NativeMask.cropped(placement.as_stored(stored))
    return _Mask(classes, file * zoom / 1000, grid_pixels / 1000, 1 - kept / file if file else 0.0, present, native)


def _area(classes: np.ndarray) -> int:
    return int(((classes > 0) & (classes != IGNORED)).sum())


def _require_same_size(patient: Patient, pictures: Mapping[str, np.ndarray], placement: PicturePlacement) -> None:
    for name, picture in pictures.items():
        if picture.shape[:2] != placement.source:
            raise ValueError(
                f"{patient.images[name]} has {size_text(picture)}, but the sample's first image "
                f"{placement.source[1]} x {placement.source[0]}"
            )
