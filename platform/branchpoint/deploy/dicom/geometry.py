"""Where the slices of a series lie: sorted along their normal, and on a regular grid or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.deploy.dicom.instances import Instance
from branchpoint.deploy.errors import CaseError

MOST_OFF_GRID_MM = 0.5
MOST_OFF_GRID_SHARE = 0.1
"""A slice may lie this far off the regular grid: the smaller of both. A real GE PET series is off by 0.04 mm."""

MOST_TILT_DEGREES = 0.5
_GAP = 1.5
"""A step of more than this many slice distances holds a missing slice."""
_EXPORT = "export the whole series again from the scanner or the archive"


@dataclass(frozen=True)
class Grid:
    """A volume's grid as ITK has it.

    Attributes:
        origin_mm: centre of the first voxel of the first slice, (x, y, z) in LPS.
        spacing_mm: along (columns, rows, slices).
        direction: nine numbers by row; its columns are the directions of the three axes.
    """

    origin_mm: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    direction: tuple[float, ...]


def order_slices(instances: Sequence[Instance]) -> tuple[list[Instance], Grid]:
    """The slices by position along their normal, and their grid.

    Raises:
        CaseError: a position or spacing is missing, two slices lie at one place, one is missing, the steps are
            uneven, or the stack is sheared (gantry tilt).
    """
    row, column, spacing = _plane(instances[0])
    normal = np.cross(row, column)
    positions = np.array([_position(instance) for instance in instances])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    ordered = [instances[i] for i in order]
    positions, along = positions[order], along[order]
    _refuse_duplicates(ordered, along)
    step_mm = _regular_step(ordered, along)
    _refuse_tilt(ordered[0], positions, normal)
    direction = np.stack([row, column, normal], axis=1)
    grid = Grid(
        tuple(positions[0].tolist()),
        (spacing[1], spacing[0], step_mm),  # (0028,0030) is the distance of rows, then of columns
        tuple(direction.ravel().tolist()),
    )
    return ordered, grid


def _plane(instance: Instance) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    orientation = instance.numbers("ImageOrientationPatient", 6)
    spacing = instance.numbers("PixelSpacing", 2)
    if orientation is None or spacing is None or min(spacing) <= 0:
        raise CaseError(
            "no-geometry",
            f"{instance.path.name} has no valid ImageOrientationPatient and PixelSpacing",
            "give a series of cross-sectional slices",
        )
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.99 or max(lengths) > 1.01 or abs(float(row @ column)) > 0.01:
        raise CaseError(
            "no-geometry",
            f"{instance.path.name}: ImageOrientationPatient {orientation} is not a pair of perpendicular unit vectors",
            _EXPORT,
        )
    row = row / lengths[0]
    column = column - row * (row @ column)
    return row, column / np.linalg.norm(column), spacing


def _position(instance: Instance) -> tuple[float, ...]:
    position = instance.numbers("ImagePositionPatient", 3)
    if position is None:
        raise CaseError("no-geometry", f"{instance.path.name} has no valid ImagePositionPatient", _EXPORT)
    return position


def _refuse_duplicates(ordered: Sequence[Instance], along: np.ndarray) -> None:
    close = np.flatnonzero(np.diff(along) < 0.01)
    if not len(close):
        return
    first, second = ordered[close[0]], ordered[close[0] + 1]
    names = f"{first.path.name} and {second.path.name} lie at the same place ({along[close[0]]:.2f} mm)"
    keywords = ("FrameReferenceTime", "AcquisitionTime", "TemporalPositionIdentifier")
    if any(first.text(key) != second.text(key) for key in keywords):
        raise CaseError(
            "dynamic-series",
            f"{len(close)} slices share their place with another one taken at another time: {names}",
            "give a static series; frames of a dynamic one have to be averaged first",
        )
    raise CaseError("duplicate-slices", f"{len(close)} slices twice: {names}", "remove the copies")


def _regular_step(ordered: Sequence[Instance], along: np.ndarray) -> float:
    steps = np.diff(along)
    typical = float(np.sort(steps)[(len(steps) - 1) // 2])
    gaps = np.flatnonzero(steps > _GAP * typical)
    if len(gaps):
        lost = int(sum(round(float(steps[gap]) / typical) - 1 for gap in gaps))
        raise CaseError(
            "missing-slice",
            f"{max(lost, 1)} of {len(along) + lost} slices missing: a step of {steps[gaps[0]]:.2f} mm after "
            f"{ordered[gaps[0]].path.name} among steps of {typical:.2f} mm",
            _EXPORT,
        )
    step = float((along[-1] - along[0]) / (len(along) - 1))
    grid = along[0] + step * np.arange(len(along))
    shift = (along - grid).mean()
    off = np.abs(along - grid - shift)
    allowed = min(MOST_OFF_GRID_MM, MOST_OFF_GRID_SHARE * step)
    if off.max() > allowed:
        worst = int(off.argmax())
        raise CaseError(
            "irregular-slices",
            f"{ordered[worst].path.name} lies {off[worst]:.2f} mm off a regular grid of {step:.2f} mm; "
            f"at most {allowed:.2f} mm",
            "resample the series to even steps, or reconstruct it with them",
        )
    return step


def _refuse_tilt(first: Instance, positions: np.ndarray, normal: np.ndarray) -> None:
    travel = positions[-1] - positions[0]
    cosine = float(np.clip(travel @ normal / np.linalg.norm(travel), -1, 1))
    sheared = float(np.degrees(np.arccos(cosine)))
    stated = first.numbers("GantryDetectorTilt", 1)
    tilt = max(sheared, abs(stated[0]) if stated else 0.0)
    if tilt > MOST_TILT_DEGREES:
        raise CaseError(
            "gantry-tilt",
            f"slices tilted by {tilt:.1f} degrees against the direction in which they are stacked",
            "resample the series to straight slices first",
        )
