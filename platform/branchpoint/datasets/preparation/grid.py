"""One isotropic grid along the patient's axes, and scans brought onto it whatever their spacing and direction.

Physical coordinates are millimetres (x, y, z) towards the patient's left, back and head (LPS, as in DICOM and ITK).
Array axes are (D, H, W) = (z, y, x): the last axis runs from right to left, so mirroring it is the sagittal mirror.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from branchpoint.datasets.cohort import Box
from branchpoint.datasets.preparation.native import NativeProbabilities, foreground
from branchpoint.datasets.preparation.volume_files import Grid, grid_of, image_on

Image = Any
"""A SimpleITK.Image: the library is imported by the functions that need it."""

_SMOOTHED_VOXELS = 4
"""Fewest voxels along an axis that SimpleITK's recursive Gaussian takes."""
_FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class Window:
    """An isotropic grid with identity direction.

    Attributes:
        origin_mm: centre of the first voxel, (x, y, z).
        spacing_mm: distance of voxel centres.
        size_voxels: (D, H, W).
    """

    origin_mm: tuple[float, ...]
    spacing_mm: float
    size_voxels: tuple[int, ...]

    @classmethod
    def around(cls, box: Box, spacing_mm: float, size_voxels: Sequence[int]) -> Window:
        """The grid of this size whose centre is the centre of ``box``."""
        centre = (np.array(box.lower_mm) + np.array(box.upper_mm)) / 2
        half = (np.array(size_voxels[::-1]) - 1) * spacing_mm / 2
        return cls(tuple((centre - half).tolist()), float(spacing_mm), tuple(size_voxels))

    @property
    def box(self) -> Box:
        """From edge to edge of the outer voxels."""
        lower = np.array(self.origin_mm) - self.spacing_mm / 2
        upper = lower + np.array(self.size_voxels[::-1]) * self.spacing_mm
        return Box(tuple(lower.tolist()), tuple(upper.tolist()))

    def grown(self, margin_voxels: Sequence[int]) -> Window:
        """The same grid with ``margin_voxels`` more on both sides of (D, H, W)."""
        origin = np.array(self.origin_mm) - np.array(margin_voxels[::-1]) * self.spacing_mm
        size = tuple(n + 2 * m for n, m in zip(self.size_voxels, margin_voxels, strict=True))
        return Window(tuple(origin.tolist()), self.spacing_mm, size)

    def bounds(self, box: Box) -> np.ndarray:
        """int (3, 2), along (D, H, W): the first voxel whose centre lies in ``box``, and the first behind it."""
        origin = np.array(self.origin_mm)
        first = np.ceil((np.array(box.lower_mm) - origin) / self.spacing_mm)
        last = np.floor((np.array(box.upper_mm) - origin) / self.spacing_mm)
        ends = np.stack([first, last + 1], axis=1)[::-1]
        return np.clip(ends, 0, np.array(self.size_voxels)[:, None]).astype(int)

    @property
    def grid(self) -> Grid:
        """The same grid as files describe theirs."""
        return Grid(self.size_voxels[::-1], (self.spacing_mm,) * 3, self.origin_mm, (1, 0, 0, 0, 1, 0, 0, 0, 1))


def extent(image: Image) -> Box:
    """Smallest box along the patient's axes that holds the whole image, edges of the outer voxels included."""
    lower, upper = grid_of(image).bounds_mm()
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


def intersection(boxes: Sequence[Box]) -> Box:
    """The box common to all; empty (upper below lower) where they do not meet."""
    lower = np.max([box.lower_mm for box in boxes], axis=0)
    upper = np.min([box.upper_mm for box in boxes], axis=0)
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))


def resample_linear(image: Image, window: Window, *, smooth: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Trilinear interpolation: float32 (D, H, W), and bool (D, H, W), where the image has values; 0 elsewhere.

    Axes that get more than half coarser are smoothed first, so that fine structure does not alias: a Gaussian with
    the variance by which the new voxel is wider than the old one (Cardoso et al. 2015, 'Scale factor point spread
    function matching'). At the 1 mm of Andrearczyk et al. 2021 there is nothing to smooth.

    Args:
        smooth: ``False`` interpolates alone, as PyRadiomics does.

    Raises:
        ValueError: voxels that are not finite.
    """
    import SimpleITK as sitk

    sigmas = _smoothing_mm(image, window.spacing_mm) if smooth else [0.0] * 3
    image = sitk.Cast(_around(image, window, margin_mm=4 * max(sigmas) + window.spacing_mm), sitk.sitkFloat32)
    faulty = int((~np.isfinite(sitk.GetArrayViewFromImage(image))).sum())
    if faulty:
        raise ValueError(f"{faulty} voxels are NaN or infinite")
    for axis, sigma in enumerate(sigmas):
        if sigma and image.GetSize()[axis] >= _SMOOTHED_VOXELS:
            image = sitk.RecursiveGaussian(image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
    values = _resample(image, window, sitk.sitkLinear, math.nan)
    known = np.isfinite(values)
    return np.where(known, values, np.float32(0)), known


def resample_nearest(image: Image, window: Window) -> np.ndarray:
    """Nearest neighbour in the stored type, (D, H, W); 0 outside the image."""
    import SimpleITK as sitk

    return _resample(_around(image, window, margin_mm=window.spacing_mm), window, sitk.sitkNearestNeighbor, 0)


def place_back(probabilities: np.ndarray, window: Window, grid: Grid, outside: int = 0) -> NativeProbabilities:
    """Probabilities (K, D, H, W) of ``window`` on ``grid``, by trilinear interpolation in physical space.

    Voxels of ``grid`` outside the window belong to the class ``outside``.
    """
    import SimpleITK as sitk

    probabilities = np.asarray(probabilities, np.float32)
    if probabilities.shape[1:] != window.size_voxels:
        raise ValueError(f"probabilities have the shape {probabilities.shape}, the window {window.size_voxels}")
    seen = foreground(probabilities) if not outside else np.ones(window.size_voxels, bool)
    lower, size = _covered(seen, window, grid)
    origin = grid.to_mm(lower[None])[0].tolist()

    def sample(channel: int) -> np.ndarray:
        resampled = sitk.Resample(
            image_on(probabilities[channel], window.grid),
            size.tolist(),
            sitk.Transform(),
            sitk.sitkLinear,
            origin,
            grid.spacing_mm,
            grid.direction,
            native.beyond(channel),
        )
        return sitk.GetArrayFromImage(resampled)

    region = tuple(slice(int(a), int(a + n)) for a, n in zip(lower[::-1], size[::-1], strict=True))
    native = NativeProbabilities(grid.size[::-1], region, len(probabilities), sample, outside)
    return native


def _covered(seen: np.ndarray, window: Window, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """First index and size, (x, y, z), of the smallest part of ``grid`` that holds the voxels ``seen`` (D, H, W).

    It is a voxel of the window larger on each side, because interpolation reaches so far, and never empty.
    """
    found = np.argwhere(seen)[:, ::-1]
    last = np.array(grid.size) - 1
    if not len(found):
        return np.zeros(3, int), np.ones(3, int)
    corners = window.grid.bounds_mm(found.min(axis=0) - 1, found.max(axis=0) + 1)
    points = np.array(list(itertools.product(*corners.T)))
    indices = (points - np.array(grid.origin_mm)) @ np.linalg.inv(grid.matrix).T
    lower = np.clip(np.floor(indices.min(axis=0)).astype(int), 0, last)
    upper = np.clip(np.ceil(indices.max(axis=0)).astype(int), lower, last)
    return lower, upper - lower + 1


def _smoothing_mm(image: Image, spacing_mm: float) -> list[float]:
    """Gaussian sigma along each axis of the image; 0 where the window is less than half coarser."""
    return [
        math.sqrt(spacing_mm**2 - source**2) / _FWHM_PER_SIGMA if spacing_mm > 1.5 * source else 0.0
        for source in image.GetSpacing()
    ]


def _around(image: Image, window: Window, margin_mm: float) -> Image:
    """The part of ``image`` that the grid needs: whole-body scans are much larger."""
    import SimpleITK as sitk

    box = window.box
    corners = itertools.product(
        *zip(np.array(box.lower_mm) - margin_mm, np.array(box.upper_mm) + margin_mm, strict=True)
    )
    indices = np.array([image.TransformPhysicalPointToContinuousIndex(corner) for corner in corners])
    size = np.array(image.GetSize())
    start = np.clip(np.floor(indices.min(axis=0)).astype(int) - 1, 0, size - 1)
    stop = np.clip(np.ceil(indices.max(axis=0)).astype(int) + 2, start + 1, size)
    return sitk.RegionOfInterest(image, (stop - start).tolist(), start.tolist())


def _resample(image: Image, window: Window, interpolator: int, outside: float) -> np.ndarray:
    import SimpleITK as sitk

    resampled = sitk.Resample(
        image,
        window.size_voxels[::-1],
        sitk.Transform(),
        interpolator,
        window.origin_mm,
        [window.spacing_mm] * 3,
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        outside,
    )
    return sitk.GetArrayFromImage(resampled)
