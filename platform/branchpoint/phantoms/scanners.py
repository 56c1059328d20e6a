"""PET/CT scanners: what they make of a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.phantoms import organs
from branchpoint.phantoms.anatomy import Anatomy
from branchpoint.phantoms.canvas import Canvas
from branchpoint.phantoms.grid import Grid, Point, point
from branchpoint.phantoms.lesions import Lesion

_STEPS = np.float32(512.0)  # PET values are multiples of 1 / 512, as after the integers of DICOM
_SLAB = 32  # slices
_FWHM = 2.3548  # full width at half maximum of a Gaussian of unit standard deviation


@dataclass(frozen=True)
class Scanner:
    """A scanner and its protocol.

    Attributes:
        ct_spacing_mm: CT voxel along (x, y, z).
        pet_spacing_mm: PET voxel along (x, y, z).
        ct_field_mm: extent of the CT along (x, y, z); z from below the shoulders to above the vertex.
        ct_blur_mm: full width at half maximum of the CT kernel.
        ct_noise_hu: noise of the CT in the neck.
        pet_blur_mm: full width at half maximum of the PET's point spread function.
        pet_noise: standard deviation of the noise at SUV 1.
    """

    ct_spacing_mm: Point
    pet_spacing_mm: Point
    ct_field_mm: Point
    ct_blur_mm: float
    ct_noise_hu: float
    pet_blur_mm: float
    pet_noise: float

    def grids(self, middle_mm: Point, spacing_scale: float, rng: np.random.Generator) -> tuple[Grid, Grid]:
        """CT and PET grid round a patient whose oropharynx is at ``middle_mm``; origins and extents differ."""
        field = np.array(self.ct_field_mm)
        below = np.array([0.5, 0.5, 0.42]) * field  # more of the head than of the shoulders
        low = np.array(middle_mm) - below + rng.uniform(-3.0, 3.0, 3)
        pet_low, pet_high = low - rng.uniform(2.0, 9.0, 3), low + field + rng.uniform(2.0, 9.0, 3)
        ct = Grid.covering(_rounded(low), _rounded(low + field), point(np.multiply(self.ct_spacing_mm, spacing_scale)))
        pet = Grid.covering(
            _rounded(pet_low), _rounded(pet_high), point(np.multiply(self.pet_spacing_mm, spacing_scale))
        )
        return ct, pet


SCANNERS: tuple[Scanner, ...] = (
    Scanner((1.5625, 1.5625, 3.27), (3.90625, 3.90625, 3.27), (250, 250, 300), 1.6, 15.0, 6.5, 0.15),
    Scanner((1.3672, 1.3672, 3.0), (4.0, 4.0, 4.0), (236, 246, 298), 1.3, 19.0, 7.0, 0.22),
    Scanner((1.9531, 1.9531, 3.27), (5.46875, 5.46875, 3.27), (258, 252, 304), 2.0, 11.0, 7.5, 0.18),
    Scanner((1.4648, 1.4648, 2.5), (3.515625, 3.515625, 3.27), (240, 246, 296), 1.2, 23.0, 6.0, 0.26),
    Scanner((1.5234, 1.5234, 3.0), (4.07283, 4.07283, 3.0), (254, 250, 306), 1.8, 13.0, 5.0, 0.12),
)


def ct_image(
    scanner: Scanner, anatomy: Anatomy, lesions: Sequence[Lesion], grid: Grid, rng: np.random.Generator
) -> np.ndarray:
    """CT in HU, int16 (z, y, x)."""
    image = np.empty(grid.shape, dtype=np.int16)
    for start in range(0, grid.size[2], _SLAB):  # what fits the processor's cache is drawn faster
        slab = (slice(start, start + _SLAB), slice(None), slice(None))
        image[slab] = _ct_slab(scanner, anatomy, lesions, grid.part(slab), rng)
    return image


def _ct_slab(
    scanner: Scanner, anatomy: Anatomy, lesions: Sequence[Lesion], grid: Grid, rng: np.random.Generator
) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    canvas = Canvas(grid, anatomy.pose, grid.spacing_mm[0], -1000.0)
    _draw_headrest(canvas)
    body = anatomy.draw(canvas, "ct")
    for lesion in lesions:
        if lesion.meets(anatomy, grid):
            box, share, uptake = lesion.on(anatomy, grid, 2.0 * grid.spacing_mm[0])
            canvas.blend(box, share, 18.0 + 30.0 * np.clip(uptake, 0.0, 1.1))
    sigma = [0.0 if axis == 0 else scanner.ct_blur_mm / _FWHM / grid.spacing_mm[2 - axis] for axis in range(3)]
    values = gaussian_filter(canvas.values, sigma, truncate=3.0)
    noise = gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), (0.0, 0.55, 0.55), truncate=3.0)
    height = canvas.coordinates[2]
    shoulders = 1.0 + 1.2 * np.clip((-80.0 - height) / 30.0, 0.0, 1.0)  # photons are starved there
    noise *= (scanner.ct_noise_hu * 1.75 * shoulders).astype(np.float32)
    noise *= 0.3 + 0.7 * body
    values += noise
    return np.rint(np.clip(values, -1024.0, 3071.0, out=values), out=values)


def pet_image(
    scanner: Scanner,
    anatomy: Anatomy,
    lesions: Sequence[Lesion],
    suv_max: Sequence[float],
    grid: Grid,
    rng: np.random.Generator,
) -> np.ndarray:
    """PET in SUV, float32 (z, y, x); before noise the maximum in ``lesions[-1]`` is exactly ``suv_max[-1]``."""
    from scipy.ndimage import gaussian_filter

    edge = float(np.mean(grid.spacing_mm))
    canvas = Canvas(grid, anatomy.pose, edge, 0.02)
    anatomy.draw(canvas, "pet")
    placed = [lesion.on(anatomy, grid, edge) for lesion in lesions]
    for box, share, _ in placed:
        canvas.blend(box, share, 0.0)
    sigma = [scanner.pet_blur_mm / _FWHM / grid.spacing_mm[2 - axis] for axis in range(3)]
    values = gaussian_filter(canvas.values, sigma, truncate=3.0)
    for (box, share, uptake), peak in zip(placed, suv_max, strict=True):
        spread = gaussian_filter(share * uptake, sigma, truncate=3.0)
        inside = share >= min(0.5, float(share.max()))
        strength = float(np.min((peak - values[box][inside]) / spread[inside]))
        values[box] += np.float32(max(strength, 0.0)) * spread
    noise = gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), 0.6, truncate=3.0) * np.float32(3.4)
    values += noise * np.float32(scanner.pet_noise) * np.sqrt(np.maximum(values, 0.0) + np.float32(0.05))
    np.clip(values, 0.0, None, out=values)
    return np.rint(values * _STEPS, out=values) / _STEPS


def _draw_headrest(canvas: Canvas) -> None:
    """The shell on which the head lies."""
    x, y, z = canvas.coordinates
    low, high = organs.HEADREST_HEIGHTS
    wall = np.abs(np.hypot(x, y - organs.HEADREST_AXIS_Y) - organs.HEADREST_RADIUS) - 2.0
    distance = np.maximum(np.maximum(wall, 62.0 - y), np.maximum(low - z, z - high))
    canvas.blend((slice(None), slice(None), slice(None)), canvas.cover(distance), -180.0)


def _rounded(place: np.ndarray) -> Point:
    return point([round(float(value), 3) for value in place])
