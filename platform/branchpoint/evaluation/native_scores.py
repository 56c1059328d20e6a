"""Segmentation scored where it counts: on the grid and the full extent of the mask's own file.

A prediction on the prepared grid is brought back as probabilities and becomes a mask there. A tumour outside the
window counts as missed; a resampled grid neither hides nor makes errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from branchpoint.datasets.cohort import IGNORED
from branchpoint.tasks.base import Summary
from branchpoint.tasks.segmentation import SegmentationTask

TOLERANCE_MM = 2.0
"""Of the surface Dice; pixels for pictures."""
PERCENTILE = 95.0

COUNTS = ("overlap", "predicted", "truth")
LESIONS = ("lesions", "lesions_found", "lesions_predicted", "lesions_hit")
_SCORES = ("hd95", "surface_dice")


class NativeCohort(Protocol):
    """The part of a prepared cohort that knows the files' own grids."""

    preparation: Any

    @property
    def outside(self) -> Any: ...

    def placement(self, index: int) -> Any:
        """Where a sample's prepared grid lies on its input."""

    def native_mask(self, index: int, target: str) -> Any:
        """The mask on the grid of its file."""


def knows_native_grids(prepared: Any) -> bool:
    """Whether predictions can be scored on the files' own grids; toy cohorts have none."""
    return hasattr(prepared, "native_mask")


def score_masks(predicted: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    """Scores of one class in one image.

    Args:
        predicted: bool ([D,] H, W), the whole image.
        truth: the same.
        spacing_mm: along ([D,] H, W); pixels for pictures.

    Returns:
        ``overlap``, ``predicted`` and ``truth`` in voxels.

        ``hd95``: the larger of the two 95th percentiles of the distances from one surface to the other, in mm; where
        one mask is empty, the image's diagonal; 0 where both are.

        ``surface_dice``: the share of both surfaces within :data:`TOLERANCE_MM` of the other (Nikolov et al. 2021,
        "Clinically applicable segmentation of head and neck anatomy", J. Med. Internet Res. 23).

        ``lesions`` (parts of the truth that touch by faces, edges or corners), ``lesions_found`` (those with a
        predicted voxel), ``lesions_predicted`` (parts of the prediction) and ``lesions_hit`` (those with a true voxel).

    Surfaces are voxels of a mask with a face neighbour outside of it, as in MONAI.
    """
    diagonal = math.dist([0.0] * truth.ndim, [n * step for n, step in zip(truth.shape, spacing_mm, strict=True)])
    box = _box(predicted | truth)
    predicted, truth = predicted[box], truth[box]
    counts = dict(
        zip(COUNTS, (float(np.count_nonzero(mask)) for mask in (predicted & truth, predicted, truth)), strict=True)
    )
    return counts | _surface_scores(predicted, truth, spacing_mm, diagonal) | _lesions(predicted, truth)


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds a mask; one voxel where it is empty."""
    ends = []
    for axis in range(mask.ndim):
        seen = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        ends.append(slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1))
    return tuple(ends)


def _surface_scores(
    predicted: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float], diagonal: float
) -> dict[str, float]:
    from scipy.spatial import cKDTree

    surfaces = [_surface(mask, spacing_mm) for mask in (predicted, truth)]
    if not all(len(surface) for surface in surfaces):
        alike = not any(len(surface) for surface in surfaces)
        return dict(zip(_SCORES, (0.0, 1.0) if alike else (diagonal, 0.0), strict=True))
    first, second = surfaces
    there, back = cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]
    tolerance = TOLERANCE_MM + 1e-6  # a distance of exactly 2 mm is within, however it was rounded
    near = np.count_nonzero(there <= tolerance) + np.count_nonzero(back <= tolerance)
    farthest = max(float(np.percentile(distances, PERCENTILE)) for distances in (there, back))
    return {"hd95": farthest, "surface_dice": near / (len(first) + len(second))}


def _surface(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """(M, axes): positions of surface voxels in mm."""
    from scipy import ndimage

    return np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.asarray(spacing_mm)


def _lesions(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    from scipy import ndimage

    touching = np.ones((3,) * truth.ndim, dtype=bool)
    found = []
    for mask, other in ((truth, predicted), (predicted, truth)):
        parts, count = ndimage.label(mask, touching)
        found += [float(count), float(len(np.unique(parts[mask & other])))]
    return dict(zip(LESIONS, found, strict=True))


def native_summary(
    task: SegmentationTask, prepared: NativeCohort, index: Sequence[int], probabilities: np.ndarray, labelled: Any
) -> dict[str, np.ndarray]:
    """Summary of samples on their files' own grids, as :class:`branchpoint.tasks.segmentation.SegmentationTask` reads.

    Args:
        task: whose target is scored.
        prepared: the cohort.
        index: positions of B samples.
        probabilities: float (B, outputs, [D,] H, W) on the prepared grid.
        labelled: bool (B,).
    """
    target, number = task.config.target, task.config.foreground_classes
    rows = []
    for position, row, known in zip(index, probabilities, labelled, strict=True):
        if not known:
            rows.append(unknown_row(task))
            continue
        mask = prepared.native_mask(int(position), target)
        placed = prepared.preparation.place_back(
            row, prepared.placement(int(position)), onto=mask.grid, outside=prepared.outside.get(target, 0)
        )
        truth, ids = mask.full(), placed.classes()
        ids[truth == IGNORED] = IGNORED
        counted = range(task.first, number + 1)
        rows.append(_row(task, [(ids == k, truth == k) for k in counted], mask, (ids == 0, truth == 0)))
    return stacked(rows, index, labelled)


def drawn_summary(
    task: SegmentationTask,
    prepared: NativeCohort,
    index: Sequence[int],
    drawn: Sequence[np.ndarray],
    labelled: Any,
) -> dict[str, np.ndarray]:
    """The same of masks drawn on the prepared grid, each class for itself: bool (classes, [D,] H, W) of each sample."""
    rows = []
    for position, masks, known in zip(index, drawn, labelled, strict=True):
        if not known:
            rows.append(unknown_row(task))
            continue
        mask = prepared.native_mask(int(position), task.config.target)
        placement, truth = prepared.placement(int(position)), mask.full()
        pairs = []
        for k, part in enumerate(masks, 1):
            placed = prepared.preparation.place_back(part[None].astype(np.float32), placement, onto=mask.grid)
            pairs.append(((placed.classes() == 1) & (truth != IGNORED), truth == k))
        rows.append(_row(task, pairs, mask, None))
    return stacked(rows, index, labelled)


def _row(
    task: SegmentationTask,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    mask: Any,
    background: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, np.ndarray]:
    scores = [score_masks(predicted, truth, mask.spacing_mm) for predicted, truth in pairs]
    row = {name: np.array([score[name] for score in scores]) for name in scores[0]}
    row = {name: values if name in _SCORES else values.astype(np.int64) for name, values in row.items()}
    row["voxel_ml"] = np.array(math.prod(mask.spacing_mm) / 1000 if len(mask.shape) == 3 else math.nan)
    if task.counts_background:
        empty = [0, 0, 0]
        if background is not None:
            predicted, truth = background
            empty = [int(np.count_nonzero(each)) for each in (predicted & truth, predicted, truth)]
        row["background"] = np.array(empty, dtype=np.int64)
    return row


def unknown_row(task: SegmentationTask) -> dict[str, np.ndarray]:
    """The row of a sample without a label."""
    classes = task.config.foreground_classes + 1 - task.first
    row = {name: np.zeros(classes, np.int64) for name in (*COUNTS, *LESIONS)}
    row |= {name: np.zeros(classes) for name in _SCORES} | {"voxel_ml": np.array(math.nan)}
    return row | ({"background": np.zeros(3, np.int64)} if task.counts_background else {})


def stacked(rows: Sequence[Summary], index: Sequence[int], labelled: Any) -> dict[str, np.ndarray]:
    """One summary of all ``rows``."""
    summary = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return summary | {"labelled": np.asarray(labelled, dtype=bool), "index": np.asarray(index, dtype=np.int64)}
