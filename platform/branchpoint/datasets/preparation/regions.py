"""Which part of a scan is used: a published box, an automatic head-and-neck box, or the whole image.

None of the rules lets the tumour's outline choose the box. The one look at it, :func:`largest_cuts`, only asks
on which sides a crop made around the tumour has its full margin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from branchpoint.datasets.cohort import Box, RegionRule
from branchpoint.datasets.preparation.grid import Image, Window, extent, intersection, resample_linear

BOX_MM = 144.0
"""Edge of HECKTOR's published boxes."""
_COARSE_MM = 4.0
_BRAIN_SUV = (3.0, 2.0)
_BRAIN_MIN_ML = 50.0
_BRAIN_MAX_HEIGHT_MM = 150.0
_ABOVE_BRAIN_BASE_MM = 30.0
_BEFORE_BRAIN_MM = 30.0
_BODY_HU = -300.0
_HEAD_HEIGHT_MM = 150.0
_BRAIN_BASE_BELOW_VERTEX_MM = 130.0
_BEFORE_HEAD_MM = 15.0


@dataclass(frozen=True)
class Region:
    """Where a patient's window is centred.

    Attributes:
        box: the window is centred on it.
        rule: how it was found: ``box`` (given with the patient), ``brain`` or ``head`` (``head_and_neck``), ``extent``.
    """

    box: Box
    rule: str


def find_region(box: Box | None, rule: RegionRule, images: Mapping[str, Image]) -> Region:
    """The given box, else what ``rule`` finds: a head-and-neck box, or the extent that all images share.

    Args:
        box: bounding box published with the patient, if any.
        images: modality to image.

    Raises:
        ValueError: ``head_and_neck`` finds neither a brain nor a head.
    """
    if box is not None:
        return Region(box, "box")
    if rule == "head_and_neck":
        return Region(*head_and_neck_box(images))
    return Region(intersection([extent(image) for image in images.values()]), "extent")


def largest_cuts(crop: Box, tumour: Box | None, largest_mm: float) -> np.ndarray:
    """float (3, 2): how much may be cut off ``crop`` on each side, along (x, y, z); 0 where nothing may.

    A crop made 50 mm around the tumour gives the tumour away: an ellipsoid drawn 50 mm inside it, without looking at
    the image, reaches a Dice of 0.72 on the 32 patients of STS. After uniform cuts of up to 45 mm the margins that
    remain are uniform from 5 to 50 mm, the tumour's centre lies up to 22 mm (standard deviation 9 mm) from the crop's
    centre along each axis, and the best such ellipsoid reaches 0.54.

    A side whose margin is under ``largest_mm`` is left as it is: there the scan itself ended (9 of the 32 patients),
    so its edge tells nothing of the tumour, and a cut could go through it. Without an outline every side is taken to
    have its full margin.
    """
    if tumour is None:
        return np.full((3, 2), largest_mm)
    margins = [np.subtract(tumour.lower_mm, crop.lower_mm), np.subtract(crop.upper_mm, tumour.upper_mm)]
    return np.where(np.stack(margins, axis=1) >= largest_mm, largest_mm, 0.0)


def head_and_neck_box(images: Mapping[str, Image]) -> tuple[Box, str]:
    """A 144 mm cube around the extended oropharynx, and the rule that found it; it never sees an outline.

    The brain is the largest part above SUV 3 (2, if there is none) in the upper third of the smoothed PET. The cube
    reaches from 30 mm above the brain's lowest point downwards, 30 mm before its middle (after Andrearczyk et al.
    2020, 'Oropharynx detection in PET-CT for tumor segmentation', whose boxes held the whole tumour in 194 of 201
    patients), and is moved into the scan where it would leave it. Without such a brain the cube is placed below the
    top of the head that CT shows.

    Raises:
        ValueError: there is no PET, or neither brain nor head can be found.
    """
    if "PET" not in images:
        raise ValueError("no PET to find the head and neck in; the release needs published bounding boxes")
    scan = extent(images["PET"])
    brain = _brain(images["PET"], scan)
    if brain is not None:
        base = max(brain.lower_mm[2], brain.upper_mm[2] - _BRAIN_MAX_HEIGHT_MM)
        middle = (np.array(brain.lower_mm) + np.array(brain.upper_mm)) / 2
        return _cube(middle[0], middle[1] - _BEFORE_BRAIN_MM, base + _ABOVE_BRAIN_BASE_MM, scan), "brain"
    head = _head(images["CT"]) if "CT" in images else None
    if head is None:
        raise ValueError("neither a brain in PET nor a head in CT; check the SUV and HU, or give a bounding box")
    middle = (np.array(head.lower_mm) + np.array(head.upper_mm)) / 2
    top = head.upper_mm[2] - _BRAIN_BASE_BELOW_VERTEX_MM + _ABOVE_BRAIN_BASE_MM
    return _cube(middle[0], middle[1] - _BEFORE_HEAD_MM, top, scan), "head"


def _brain(pet: Image, scan: Box) -> Box | None:
    import SimpleITK as sitk

    window = _coarse_window(scan)
    suv, _ = resample_linear(pet, window)
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(_as_image(suv, window), 2 * _COARSE_MM))
    for threshold in _BRAIN_SUV:
        part = _largest_part(smooth > threshold, window, from_slice=window.size_voxels[0] * 2 // 3)
        if part is not None and part.sum() * _COARSE_MM**3 / 1000 >= _BRAIN_MIN_ML:
            return _bounds(part, window)
    return None


def _head(ct: Image) -> Box | None:
    """Bounds of the uppermost 150 mm of the body; opening removes the couch and the mask's straps."""
    import SimpleITK as sitk

    window = _coarse_window(extent(ct))
    hounsfield, known = resample_linear(ct, window)
    body = _as_image(((hounsfield > _BODY_HU) & known).astype(np.uint8), window)
    opened = sitk.GetArrayFromImage(sitk.BinaryMorphologicalOpening(body, [2, 2, 2]))
    part = _largest_part(opened > 0, window, from_slice=0)
    if part is None:
        return None
    top = int(np.flatnonzero(part.any(axis=(1, 2))).max())
    part[: max(0, top - round(_HEAD_HEIGHT_MM / _COARSE_MM))] = False
    return _bounds(part, window)


def _largest_part(mask: np.ndarray, window: Window, from_slice: int) -> np.ndarray | None:
    """The connected part that has most voxels in the slices from ``from_slice`` up."""
    import SimpleITK as sitk

    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(_as_image(mask.astype(np.uint8), window)))
    counts = np.bincount(parts[from_slice:].ravel(), minlength=2)
    counts[0] = 0
    return parts == counts.argmax() if counts.any() else None


def _bounds(part: np.ndarray, window: Window) -> Box:
    """Edges of the outermost voxels of ``part`` (D, H, W)."""
    found = np.argwhere(part)[:, ::-1]
    lower = np.array(window.origin_mm) + (found.min(axis=0) - 0.5) * window.spacing_mm
    upper = np.array(window.origin_mm) + (found.max(axis=0) + 0.5) * window.spacing_mm
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


def _cube(x: float, y: float, top: float, scan: Box) -> Box:
    centre = np.array([x, y, top - BOX_MM / 2])
    lowest, highest = np.array(scan.lower_mm) + BOX_MM / 2, np.array(scan.upper_mm) - BOX_MM / 2
    centre = np.where(lowest <= highest, np.clip(centre, lowest, np.maximum(lowest, highest)), (lowest + highest) / 2)
    return Box(tuple((centre - BOX_MM / 2).tolist()), tuple((centre + BOX_MM / 2).tolist()))


def _coarse_window(box: Box) -> Window:
    size = np.array(box.upper_mm) - np.array(box.lower_mm)
    return Window.around(box, _COARSE_MM, tuple(np.maximum(1, np.round(size[::-1] / _COARSE_MM)).astype(int).tolist()))


def _as_image(values: np.ndarray, window: Window) -> Any:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(values)
    image.SetSpacing([window.spacing_mm] * 3)
    return image
