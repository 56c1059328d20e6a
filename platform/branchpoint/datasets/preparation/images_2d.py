"""One picture (or slice) on a grid of (H, W) pixels, with its masks.

The used part (:class:`branchpoint.datasets.cohort.Crop`) is resized: pictures bilinear, smoothed first where they get
smaller (Pillow), masks by the nearest pixel. They are stretched to the grid, as papers 001 and 002 do, or with
``dataset.keep_aspect`` fitted into it, centred, with black around. Intensities go from 0 (black) to 1 (the largest of
the stored type) and are then normalised as ``dataset.intensities`` says; nothing is learned from other pictures.

Pictures of 8 bits are kept in 8 bits and normalised when a batch is made: half the memory, and as exact as the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import IGNORED, MaskLabel, Patient
from branchpoint.datasets.preparation.grid import Window
from branchpoint.datasets.preparation.image_files import read_classes, read_picture, size_text
from branchpoint.datasets.preparation.placement import Placement, nearest
from branchpoint.datasets.preparation.volumes import PreparedPatient

VERSION = 1
"""Part of the cache's keys: raise it whenever the same files and settings would give other values."""
FIXED_OFFSET, FIXED_SCALE = 0.5, 0.25
"""``intensities="fixed"``: (value - 0.5) / 0.25, from -2 to 2."""


def preprocess_picture(
    patient: Patient,
    dataset: DatasetConfig,
    modalities: Sequence[str],
    channels: Mapping[str, int],
    mask_targets: Sequence[str],
) -> PreparedPatient:
    """Crop, resize and normalise one picture.

    Args:
        channels: modality to its channels; 1 where it is not among them.
        mask_targets: the segmentation targets, in the order of the masks.

    Raises:
        ValueError: a file is missing or unreadable, pictures and masks differ in size, or a picture is of one grey
            level and cannot be standardised; the message names sample and file.
    """
    if len(dataset.size_voxels) != 2:
        raise ValueError(f"dataset.size_voxels is {dataset.size_voxels}: {dataset.name} has pictures, give (H, W)")
    missing = [name for name in modalities if name not in patient.images]
    if missing:
        raise ValueError(f"patient {patient.id} has no {missing[0]} image; restore it or leave the patient out")
    try:
        pictures = {
            name: read_picture(patient.images[name], channels.get(name, 1), patient.slice) for name in modalities
        }
        placement = _placement(patient, next(iter(pictures.values())), dataset)
        parts = [_channels(picture, placement, dataset) for picture in pictures.values()]
        masks = {
            name: _mask(label, patient.slice, placement)
            for name in mask_targets
            if isinstance(label := patient.labels.get(name), MaskLabel)
        }
        _same_size(patient, pictures, placement)
    except ValueError as problem:
        raise ValueError(f"patient {patient.id}: {problem}") from problem
    unlabelled = np.zeros(dataset.size_voxels, np.uint8)
    planes = [masks[name].classes if name in masks else unlabelled for name in mask_targets]
    as_stored = all(part.pixels.dtype == np.uint8 for part in parts)
    return PreparedPatient(
        image=np.concatenate([part.pixels if as_stored else part.normalized for part in parts]),
        masks=np.stack(planes) if planes else unlabelled[None][:0],
        offset=np.concatenate([part.offset for part in parts]),
        scale=np.concatenate([part.scale for part in parts]),
        background=np.concatenate([-part.offset / part.scale for part in parts]),
        window=Window((0.0, 0.0), dataset.spacing_mm, dataset.size_voxels),
        rule="whole picture" if placement.is_whole else "part inside the border",
        mask_ml={name: mask.file_ml for name, mask in masks.items()},
        kept_ml={name: mask.kept_ml for name, mask in masks.items()},
        lost_mask={name: mask.lost for name, mask in masks.items()},
        placement=placement,
        present={name: mask.present for name, mask in masks.items()},
    )


def _placement(patient: Patient, picture: np.ndarray, dataset: DatasetConfig) -> Placement:
    source: tuple[int, int] = picture.shape[:2]
    crop = patient.crop
    part = (crop.top, crop.left, crop.height, crop.width) if crop and crop.of == source else (0, 0, *source)
    height, width = dataset.size_voxels
    inside = (0, 0, height, width)
    if dataset.keep_aspect:
        zoom = min(height / part[2], width / part[3])
        fitted = max(1, round(part[2] * zoom)), max(1, round(part[3] * zoom))
        inside = ((height - fitted[0]) // 2, (width - fitted[1]) // 2, *fitted)
    return Placement(source, part, inside, (height, width))


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


def _channels(picture: np.ndarray, placement: Placement, dataset: DatasetConfig) -> _Part:
    resized = _resize(placement.cropped(picture), placement.inside[2:])
    white = float(np.iinfo(picture.dtype).max)
    offset, scale = FIXED_OFFSET, FIXED_SCALE
    if dataset.intensities == "image":
        offset, scale = float(resized.mean(dtype=np.float64)) / white, float(resized.std(dtype=np.float64)) / white
        if scale == 0:
            raise ValueError(f"every pixel is {resized.flat[0]}, so the picture cannot be standardised; check the file")
    canvas = np.zeros((picture.shape[2], *placement.grid), resized.dtype)
    top, left, height, width = placement.inside
    canvas[:, top : top + height, left : left + width] = resized.transpose(2, 0, 1)
    count = len(canvas)
    return _Part(canvas, white, np.full(count, offset, np.float32), np.full(count, scale, np.float32))


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


def _mask(label: MaskLabel, slice_number: int | None, placement: Placement) -> _Mask:
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
    return _Mask(classes, file * zoom / 1000, grid_pixels / 1000, 1 - kept / file if file else 0.0, present)


def _area(classes: np.ndarray) -> int:
    return int(((classes > 0) & (classes != IGNORED)).sum())


def _same_size(patient: Patient, pictures: Mapping[str, np.ndarray], placement: Placement) -> None:
    for name, picture in pictures.items():
        if picture.shape[:2] != placement.source:
            raise ValueError(
                f"{patient.images[name]} has {size_text(picture)}, but the sample's first image "
                f"{placement.source[1]} x {placement.source[0]}"
            )
