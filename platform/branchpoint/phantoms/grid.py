"""Voxel grids with identity direction, and smooth random fields that any grid can sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK

Point = tuple[float, float, float]
Slices = tuple[slice, slice, slice]


def point(values: Sequence[float] | np.ndarray) -> Point:
    """Three numbers as a point of plain floats, which keep float32 arrays float32."""
    x, y, z = (float(value) for value in values)
    return x, y, z


@dataclass(frozen=True)
class Grid:
    """A regular grid in patient space (LPS, millimetres); points are (x, y, z), arrays are (z, y, x)."""

    origin_mm: Point
    spacing_mm: Point
    size: tuple[int, int, int]

    @classmethod
    def covering(cls, lower_mm: Point, upper_mm: Point, spacing_mm: Point) -> Grid:
        """The grid whose first voxel centre is ``lower_mm`` and that reaches ``upper_mm``."""
        size = [int(np.ceil((b - a) / s)) + 1 for a, b, s in zip(lower_mm, upper_mm, spacing_mm, strict=True)]
        return cls(lower_mm, spacing_mm, (size[0], size[1], size[2]))

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Voxel centres along x, y and z, float64, millimetres."""
        x, y, z = (
            origin + spacing * np.arange(size)
            for origin, spacing, size in zip(self.origin_mm, self.spacing_mm, self.size, strict=True)
        )
        return x, y, z

    @property
    def shape(self) -> tuple[int, int, int]:
        """Array shape (z, y, x)."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def box(self, lower_mm: np.ndarray, upper_mm: np.ndarray) -> Slices:
        """Array slices (z, y, x) of the voxels between two points; empty where they miss the grid."""
        slices = []
        for axis, low, high in zip(self.axes, lower_mm, upper_mm, strict=True):
            slices.append(slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, "right"))))
        return slices[2], slices[1], slices[0]

    def part(self, box: Slices) -> Grid:
        """The sub-grid of ``box``."""
        x, y, z = self.axes
        x, y, z = x[box[2]], y[box[1]], z[box[0]]
        return Grid(point((x[0], y[0], z[0])), self.spacing_mm, (len(x), len(y), len(z)))

    def image(self, voxels: np.ndarray) -> SimpleITK.Image:
        """``voxels`` (z, y, x) as an image on this grid."""
        import SimpleITK

        image = SimpleITK.GetImageFromArray(voxels)
        image.SetOrigin(self.origin_mm)
        image.SetSpacing(self.spacing_mm)
        return image


class Texture:
    """A smooth random field with zero mean, unit variance and correlation length ``scale_mm``.

    Normal values on a lattice, interpolated by cubic B-splines: grids of any spacing sample the same field.

    Args:
        rng: source of the lattice values.
        lower_mm: corner of the region it covers; beyond it the field is continued by its border.
        upper_mm: opposite corner.
        scale_mm: lattice step along (x, y, z), millimetres.
    """

    def __init__(self, rng: np.random.Generator, lower_mm: Point, upper_mm: Point, scale_mm: Point) -> None:
        self._lower, self._scale = lower_mm, scale_mm
        size = [int(np.ceil((b - a) / s)) + 4 for a, b, s in zip(lower_mm, upper_mm, scale_mm, strict=True)]
        self._lattice = rng.standard_normal((size[2], size[1], size[0]), dtype=np.float32)

    def on(self, grid: Grid) -> np.ndarray:
        """The field at the voxels of ``grid``, float32 (z, y, x)."""
        field = self._lattice
        for axis in range(3):
            i = 2 - axis
            field = _spline(field, axis, (grid.axes[i] - self._lower[i]) / self._scale[i] + 1.0)
        return field


_MEAN_SPLINE_POWER = 0.479  # mean over positions of the sum of squared cubic B-spline weights (151 / 315)


def _spline(lattice: np.ndarray, axis: int, position: np.ndarray) -> np.ndarray:
    """Cubic B-spline interpolation along ``axis`` at lattice positions, scaled to keep the variance at one."""
    count = lattice.shape[axis]
    position = np.clip(position, 1.0, count - 2.001)
    start = np.floor(position).astype(np.int64) - 1
    t = position - start - 1.0
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    shape = [1, 1, 1]
    shape[axis] = -1
    result = None
    for tap, weight in enumerate(weights):
        scaled = (weight / (6.0 * np.sqrt(_MEAN_SPLINE_POWER))).astype(np.float32).reshape(shape)
        term = np.take(lattice, start + tap, axis=axis)
        term *= scaled
        result = term if result is None else np.add(result, term, out=result)
    assert result is not None
    return result
