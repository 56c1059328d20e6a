"""Masks without image content: what Dice a segmentation must beat to have looked at the image at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from branchpoint.evaluation.measurements import Mask, Measurements

LEVELS = 50
"""Thresholds (mean mask) and insets (ellipsoid) that are tried on the training patients."""


def mean_mask(measured: Measurements, target: str, k: int, train: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
    """The mean of the training masks of class ``k``, cut at the level with the best mean training Dice.

    The same bool (voxels,) for each test patient.

    The level is relative to the mean's maximum: tumours that lie differently in every patient never reach one half.
    """
    voxels = [_of_class(mask, k) for mask in measured.masks[target]]
    held = [voxels[i] for i in train if len(voxels[i])]
    if not held:
        return [np.zeros(math.prod(measured.shape), dtype=bool)] * len(test)
    mean = np.bincount(np.concatenate(held), minlength=math.prod(measured.shape))
    level = mean * LEVELS // mean.max()
    predicted = _at_least(level)
    overlap = np.stack([_at_least(level[inside]) for inside in held])
    best = 1 + int(_dice(predicted, overlap, held)[:, 1:].mean(0).argmax())  # level 0 is the whole image
    return [level >= best] * len(test)


def ellipsoid(measured: Measurements, target: str, k: int, train: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
    """An ellipsoid in the middle of each image, as far inside its faces as gives the best mean training Dice.

    Bool (voxels,) for each test patient.

    Releases that were cropped around the tumour (STS: 50 mm) give it away by the crop alone.
    """
    voxels = [_of_class(mask, k) for mask in measured.masks[target]]
    half = (measured.covered[..., 1] - measured.covered[..., 0]) / 2
    insets = np.linspace(0, half.max(), LEVELS, endpoint=False)
    held = [i for i in train if len(voxels[i])]
    dice = np.zeros(LEVELS)
    for i in held:
        offset = _offsets(measured, i, voxels[i])
        for level, inset in enumerate(insets):
            axes = _axes(half[i], inset)
            overlap = np.count_nonzero(((offset / axes[:, None]) ** 2).sum(0) <= 1)
            dice[level] += 2 * overlap / (_volume(axes) + len(voxels[i]))
    best = float(insets[dice.argmax()])
    return [_ellipsoid_voxels(measured, i, _axes(half[i], best)) for i in test]


def _of_class(mask: Mask | None, k: int) -> np.ndarray:
    return np.zeros(0, np.int64) if mask is None else mask.voxels[mask.classes == k]


def _at_least(level: np.ndarray) -> np.ndarray:
    """How many voxels reach each level, (LEVELS + 1,)."""
    return np.bincount(level, minlength=LEVELS + 1)[::-1].cumsum()[::-1]


def _dice(predicted: np.ndarray, overlap: np.ndarray, held: Sequence[np.ndarray]) -> np.ndarray:
    return 2 * overlap / (predicted + np.array([len(inside) for inside in held])[:, None])


def _offsets(measured: Measurements, patient: int, voxels: np.ndarray) -> np.ndarray:
    """(axes, M): distance of each voxel's centre from the middle of the image, in voxels."""
    middle = measured.covered[patient].mean(1)
    return np.stack(np.unravel_index(voxels, measured.shape)) + 0.5 - middle[:, None]


def _axes(half: np.ndarray, inset: float) -> np.ndarray:
    return np.maximum(half - inset, 0.5)


def _volume(axes: np.ndarray) -> float:
    """Of an ellipsoid (3 axes) or ellipse (2), in voxels."""
    return float(math.pi ** (len(axes) / 2) / math.gamma(len(axes) / 2 + 1) * axes.prod())


def _ellipsoid_voxels(measured: Measurements, patient: int, axes: np.ndarray) -> np.ndarray:
    """bool (voxels,)."""
    middle = measured.covered[patient].mean(1)
    squares = [((np.arange(n) + 0.5 - m) / a) ** 2 for n, m, a in zip(measured.shape, middle, axes, strict=True)]
    total = squares[0]
    for square in squares[1:]:
        total = total[..., None] + square
    return (total <= 1).ravel()
