"""Rules over the files of one patient: grids, places and bounding boxes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from branchpoint.datasets.cohort import Box, Patient
from branchpoint.datasets.file_report import FileReport
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem

MARGIN_MM = 10.0
"""A contour or box may pass an image's border by this: two of the coarsest PET voxels, or one slice."""
BOX_MARGIN_MM = 1.0
"""A contour may pass the bounding box by this: one voxel of the grid that is cropped."""


def patient_problems(
    patient: Patient, images: Mapping[str, FileReport], masks: Mapping[str, tuple[str | None, FileReport]]
) -> list[Problem]:
    """Rows for what does not fit together among a patient's readable files.

    Args:
        images: modality to report.
        masks: label to (modality whose grid it must share, or ``None``; report).
    """
    images = {modality: report for modality, report in images.items() if report.grid is not None}
    masks = {name: pair for name, pair in masks.items() if pair[1].grid is not None}
    rows = _image_rows(patient.id, images)
    if rows:  # one of the images lies elsewhere, so that everything else would seem to
        return rows
    for name, (modality, report) in masks.items():
        rows += _mask_rows(patient.id, name, modality, report, images)
    rows += _masks_apart(patient.id, masks)
    if patient.box is not None:
        rows += _box_rows(patient.id, patient.box, images, masks)
    return rows


def _bounds(report: FileReport) -> np.ndarray:
    assert report.grid is not None
    return report.grid.bounds_mm()


def _apart(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.any((first[0] >= second[1]) | (second[0] >= first[1])))


def _beyond_mm(inner: np.ndarray, outer: np.ndarray) -> float:
    """How far ``inner`` reaches out of ``outer``; both (2, 3)."""
    return float(max((outer[0] - inner[0]).max(), (inner[1] - outer[1]).max(), 0.0))


def _text(bounds: np.ndarray) -> str:
    ranges = (f"{low:.0f}..{high:.0f}" for low, high in bounds.T)
    return " x ".join(ranges) + " mm"


def _image_rows(patient: str, images: Mapping[str, FileReport]) -> list[Problem]:
    (first, *others) = images or [""]
    rows = []
    for other in others:
        places = _bounds(images[first]), _bounds(images[other])
        found = f"{first} at {_text(places[0])}, {other} at {_text(places[1])}"
        if _apart(*places):
            rows.append(problem("images-apart", patient, other, found))
        elif _axes_exchanged(images[first], images[other]):
            expected = f"the axes of the {first}, {images[first].grid}, or the same place"
            fix = "check the axes of both: sizes that are exchanged in a header, or in an array, scramble the image"
            rows.append(problem("grid-mismatch", patient, other, str(images[other].grid), expected=expected, fix=fix))
    return rows


def _axes_exchanged(first: FileReport, second: FileReport) -> bool:
    """Whether two images have the same numbers of voxels in another order, and do not cover the same place."""
    sizes = [report.grid.size for report in (first, second) if report.grid]
    apart = np.abs(_bounds(first) - _bounds(second)).max()
    return sizes[0] != sizes[1] and _same_counts(*sizes) and bool(apart > MARGIN_MM)


def _mask_rows(
    patient: str, name: str, modality: str | None, report: FileReport, images: Mapping[str, FileReport]
) -> list[Problem]:
    reference = _reference(modality, report, images)
    if reference and reference.grid and report.grid and not report.grid.same_as(reference.grid):
        expected = f"the grid of the {reference.job.task}: {reference.grid}"
        fix = None
        if _same_counts(reference.grid.size, report.grid.size):
            fix = "save the mask with the geometry (affine, direction, axes) of the image it was drawn on"
        return [problem("grid-mismatch", patient, name, str(report.grid), expected=expected, fix=fix)]
    rows: list[Problem] = []
    contour = report.foreground_mm
    for other, image in images.items() if contour is not None else ():
        assert contour is not None
        found = f"contour at {_text(contour)}, {other} at {_text(_bounds(image))}"
        if _apart(contour, _bounds(image)):
            return [problem("mask-outside-image", patient, name, found)]
        if _beyond_mm(contour, _bounds(image)) > MARGIN_MM and not rows:
            rows.append(problem("mask-cut-by-image", patient, name, found))
    return rows


def _reference(modality: str | None, mask: FileReport, images: Mapping[str, FileReport]) -> FileReport | None:
    """The image whose grid a mask must share.

    Where it may have its own grid, an image with as many voxels along its axes, in any order: such a mask was drawn on
    it, and was saved without the image's geometry (with ``numpy.eye(4)``, say) or with its axes exchanged.
    """
    if modality is not None:
        return images.get(modality)
    alike = [
        image for image in images.values() if image.grid and mask.grid and _same_counts(image.grid.size, mask.grid.size)
    ]
    shared = [image for image in alike if image.grid and mask.grid and mask.grid.same_as(image.grid)]
    return next(iter(shared or alike), None)


def _same_counts(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return sorted(first) == sorted(second)


def _masks_apart(patient: str, masks: Mapping[str, tuple[str | None, FileReport]]) -> list[Problem]:
    contours = {name: report.foreground_mm for name, (_, report) in masks.items() if report.foreground_mm is not None}
    (first, *others) = contours or [""]
    return [
        problem(
            "masks-apart", patient, other, f"{first} at {_text(contours[first])}, {other} at {_text(contours[other])}"
        )
        for other in others
        if _apart(contours[first], contours[other])
    ]


def _box_rows(
    patient: str, box: Box, images: Mapping[str, FileReport], masks: Mapping[str, tuple[str | None, FileReport]]
) -> list[Problem]:
    bounds = np.array([box.lower_mm, box.upper_mm])
    rows: list[Problem] = []
    for modality, image in images.items():
        found = f"box {_text(bounds)}, {modality} at {_text(_bounds(image))}"
        if _apart(bounds, _bounds(image)):
            return [problem("box-outside-image", patient, "box", found)]
        if _beyond_mm(bounds, _bounds(image)) > MARGIN_MM and not rows:
            rows.append(problem("box-beyond-image", patient, "box", found))
    for name, (_, report) in masks.items():
        contour = report.foreground_mm
        if contour is None:
            continue
        found = f"box {_text(bounds)}, {name} at {_text(contour)}"
        if _apart(bounds, contour):
            rows.append(problem("box-misses-mask", patient, "box", found))
        elif _beyond_mm(contour, bounds) > BOX_MARGIN_MM:
            rows.append(problem("box-cuts-mask", patient, "box", found))
    return rows
