"""What the trivial references need of the images and masks, measured once for a cohort and used for every fold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from branchpoint.datasets.batch import Batch
from branchpoint.datasets.cohort import IGNORED
from branchpoint.training.batches.clinical_values import Covariates

SUV_THRESHOLD = 2.5
SMALLEST_SUV = 0.01
"""Floor before the logarithm."""


class Prepared(Protocol):
    """What is used of a prepared cohort."""

    @property
    def patient_ids(self) -> Sequence[str]: ...
    @property
    def modalities(self) -> Sequence[str]: ...
    @property
    def targets(self) -> Mapping[str, str]: ...
    @property
    def covariates(self) -> Covariates: ...
    @property
    def labels(self) -> Mapping[str, np.ndarray]: ...
    @property
    def labelled(self) -> Mapping[str, np.ndarray]: ...

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at these positions."""


@dataclass(frozen=True)
class Mask:
    """A patient's true mask.

    Attributes:
        voxels: int64 (M,), flat positions of the foreground.
        classes: uint8 (M,), their classes, from 1.
        ignored: int64 (I,), flat positions without a class; a prediction there counts neither way.
    """

    voxels: np.ndarray
    classes: np.ndarray
    ignored: np.ndarray


@dataclass(frozen=True)
class Measurements:
    """Of all N patients of a cohort.

    Attributes:
        shape: voxels of a sample, ([D,] H, W).
        covered: int (N, axes, 2), first voxel of the image and first behind it: around it there is only padding.
        masks: segmentation target to the mask of each patient; ``None`` where unlabelled.
        tumour: float (N, 2), log volume (ml) and log SUVmax inside the true mask, all classes together; NaN where
            there is no mask; ``None`` for a cohort without PET or masks.
        component: float (N, 2), the same of the largest PET component above SUV 2.5, without any contour; ``None``
            for a cohort without PET.
        areas: of pictures: float (N, classes), log(1 + pixels) of each class in the first target's true mask, NaN
            where there is none; ``None`` for volumes and without masks.
    """

    shape: tuple[int, ...]
    covered: np.ndarray
    masks: Mapping[str, tuple[Mask | None, ...]]
    tumour: np.ndarray | None
    component: np.ndarray | None
    areas: np.ndarray | None = None


def measure(prepared: Prepared) -> Measurements:
    """Read every patient once.

    Volumes and maxima are those of the prepared grid: coarse spacing lowers SUVmax.
    """
    targets = [name for name, kind in prepared.targets.items() if kind == "segmentation"]
    pet = list(prepared.modalities).index("PET") if "PET" in prepared.modalities else None
    masks: dict[str, list[Mask | None]] = {name: [] for name in targets}
    covered, tumour, component, shape = [], [], [], ()
    for patient in range(len(prepared.patient_ids)):
        batch = prepared.batch([patient])
        image = batch.inputs["image"][0].numpy()
        shape = image.shape[1:]
        covered.append(covered_box(image))
        for name in targets:
            masks[name].append(_mask(batch, name))
        if pet is None:
            continue
        scale, offset = (float(batch.inputs[f"intensity_{part}"][0, pet]) for part in ("scale", "offset"))
        suv, voxel_ml = image[pet] * scale + offset, float(batch.inputs["voxel_ml"][0])
        component.append(largest_component(suv, voxel_ml))
        if targets:
            tumour.append(_inside(suv, voxel_ml, masks[targets[0]][-1]))
    return Measurements(
        shape=shape,
        covered=np.array(covered),
        masks={name: tuple(values) for name, values in masks.items()},
        tumour=np.array(tumour) if tumour else None,
        component=np.array(component) if component else None,
        areas=_areas(masks[targets[0]]) if targets and len(shape) == 2 else None,
    )


def covered_box(image: np.ndarray) -> np.ndarray:
    """int (axes, 2): the box left when outer planes that are constant in every channel (padding) are taken off.

    Args:
        image: (C, [D,] H, W). A constant image counts as covered whole.
    """
    box = []
    for axis in range(1, image.ndim):
        others = tuple(other for other in range(1, image.ndim) if other != axis)
        varies = (image.max(axis=others) != image.min(axis=others)).any(axis=0)
        used = np.flatnonzero(varies) if varies.any() else np.arange(image.shape[axis])
        box.append((used[0], used[-1] + 1))
    return np.array(box)


def largest_component(suv: np.ndarray, voxel_ml: float) -> tuple[float, float]:
    """Log volume (ml) and log maximum of the largest region above SUV 2.5 whose voxels touch by their faces.

    Nothing says that it is the tumour: in the trunk and limbs (STS) it mostly is, in the head and neck the brain is
    larger, wherever the crop holds it. Without a voxel above, it is one voxel with the image's maximum.
    """
    from scipy import ndimage

    regions, count = ndimage.label(suv > SUV_THRESHOLD)
    if not count:
        return math.log(voxel_ml), _log_suv(suv.max())
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    return math.log(sizes[largest] * voxel_ml), _log_suv(suv[regions == largest].max())


def _inside(suv: np.ndarray, voxel_ml: float, mask: Mask | None) -> tuple[float, float]:
    if mask is None or not len(mask.voxels):
        return math.nan, math.nan
    return math.log(len(mask.voxels) * voxel_ml), _log_suv(suv.ravel()[mask.voxels].max())


def _areas(masks: Sequence[Mask | None]) -> np.ndarray | None:
    counts = [None if mask is None else np.bincount(mask.classes) for mask in masks]
    classes = max((len(count) - 1 for count in counts if count is not None), default=0)
    if classes < 1:
        return None
    areas = np.full((len(masks), classes), np.nan)
    for row, count in zip(areas, counts, strict=True):
        if count is not None:
            row[:] = np.log1p(np.pad(count[1:], (0, classes - len(count[1:]))))
    return areas


def _log_suv(suv: float) -> float:
    return math.log(max(float(suv), SMALLEST_SUV))


def _mask(batch: Batch, target: str) -> Mask | None:
    if not bool(batch.labelled[target][0]):
        return None
    ids = batch.targets[target][0].numpy().ravel()
    voxels = np.flatnonzero((ids != 0) & (ids != IGNORED))
    return Mask(voxels, ids[voxels], np.flatnonzero(ids == IGNORED))
