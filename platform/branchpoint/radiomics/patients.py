"""Features of patients: their scans and outlines on a grid of 2 mm, and what was found as one table.

Andrearczyk et al. 2021 resample images trilinearly and outlines to the nearest voxel. The scans are read from the
release, not from the prepared cohort: that has the network's spacing, and CT clipped to 1024 HU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from branchpoint.datasets.cohort import Box, MaskLabel, Patient
from branchpoint.datasets.preparation.grid import Window, resample_linear, resample_nearest
from branchpoint.datasets.preparation.volume_files import grid_of, read_image
from branchpoint.radiomics.features import FEWEST_VOXELS, extract

SPACING_MM = 2.0
Outline = Callable[[Patient], Any]
"""Gives the ``SimpleITK.Image`` of a patient's mask (foreground is not 0), or ``None`` where there is none."""


@dataclass(frozen=True)
class FeatureTable:
    """Features of N patients.

    Attributes:
        patient_ids: N identifiers.
        names: of F features.
        values: float64 (N, F); NaN where a patient has none.
        notes: a sentence for every patient without features, or with a region that lies partly outside an image.
    """

    patient_ids: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> np.ndarray:
        """bool (N,): who has features."""
        return ~np.isnan(self.values).any(1)


def true_outline(target: str) -> Outline:
    """The mask of the segmentation target ``target``, all classes together."""

    def outline(patient: Patient) -> Any:
        import SimpleITK as sitk

        label = patient.labels.get(target)
        if not isinstance(label, MaskLabel):
            return None
        stored = read_image(label.path)
        mask = sitk.GetImageFromArray(np.isin(sitk.GetArrayViewFromImage(stored), label.values).astype(np.uint8))
        mask.CopyInformation(stored)
        return mask

    return outline


def outline_in(window: Window, mask: np.ndarray) -> Any:
    """A mask (D, H, W) on the grid ``window``, such as a network's, as ``SimpleITK.Image``."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.asarray(mask).astype(np.uint8))
    image.SetOrigin(window.origin_mm)
    image.SetSpacing([window.spacing_mm] * 3)
    return image


def measure_patients(
    patients: Sequence[Patient], modalities: Sequence[str], outline: Outline, *, workers: int = 1
) -> FeatureTable:
    """The 274 features of every patient.

    Args:
        patients: of a cohort with volumes.
        modalities: ``CT`` and ``PET``, or one of them.
        outline: whose region counts.
        workers: threads.

    Raises:
        ValueError: no patient has features; or a file cannot be read, which the message names.
    """
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(lambda patient: _measure(patient, modalities, outline), patients))
    notes = tuple(f"patient {patient.id}: {note}" for patient, (_, note) in zip(patients, found, strict=True) if note)
    names = next((tuple(features) for features, _ in found if features is not None), ())
    if not names:
        raise ValueError(f"no patient has a region of {FEWEST_VOXELS} voxels or more: {'; '.join(notes[:5])}")
    blank = dict.fromkeys(names, math.nan)
    values = np.array([[*(features or blank).values()] for features, _ in found])
    return FeatureTable(tuple(patient.id for patient in patients), names, values, notes)


def _measure(patient: Patient, modalities: Sequence[str], outline: Outline) -> tuple[Mapping[str, float] | None, str]:
    """Features, and what there is to say of them."""
    mask = outline(patient)
    if mask is None:
        return None, "no outline, so no features"
    missing = [name for name in modalities if name not in patient.images]
    if missing:
        return None, f"no {missing[0]} image, so no features"
    window = _around(mask)
    if window is None:
        return None, "the outline is empty, so there are no features"
    images = {}
    inside = resample_nearest(mask, window) > 0
    drawn = np.count_nonzero(inside)
    for name in modalities:
        images[name], known = resample_linear(read_image(patient.images[name]), window, smooth=False)
        inside &= known
    kept = np.count_nonzero(inside)
    features = extract(images, inside, SPACING_MM)
    if features is None:
        return None, f"{kept} voxels of {SPACING_MM:g} mm, fewer than {FEWEST_VOXELS}, so no features"
    return features, f"{1 - kept / drawn:.0%} of the outline lies outside an image" if kept < 0.99 * drawn else ""


def _around(mask: Any) -> Window | None:
    """The grid of 2 mm that holds the mask; ``None`` where it is empty."""
    import SimpleITK as sitk

    voxels = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]
    if not len(voxels):
        return None
    lower, upper = grid_of(mask).bounds_mm(voxels.min(0), voxels.max(0))
    size = np.ceil((upper - lower) / SPACING_MM).astype(int)[::-1]
    return Window.around(Box(tuple(lower.tolist()), tuple(upper.tolist())), SPACING_MM, tuple(size.tolist()))
