"""A patient's frame placed in scanner space, and a volume that shapes are painted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from branchpoint.phantoms.grid import Grid, Point, Slices, Texture, point
from branchpoint.phantoms.shapes import Shape


@dataclass(frozen=True)
class Pose:
    """How a patient lies in the scanner.

    Attributes:
        origin_mm: where the middle of the oropharynx lies in scanner space.
        scale: size of the patient against the standard anatomy.
        turn: rotation about the long axis, radians.
        lean: shift along x and y for each millimetre upwards.
    """

    origin_mm: Point
    scale: float = 1.0
    turn: float = 0.0
    lean: tuple[float, float] = (0.0, 0.0)

    def coordinates(self, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patient coordinates of the voxels, float32: x and y (z, y, x), z (z, 1, 1)."""
        x, y, z = ((axis - origin) / self.scale for axis, origin in zip(grid.axes, self.origin_mm, strict=True))
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        plane_x = (cos * x[None, :] + sin * y[:, None]).astype(np.float32)
        plane_y = (cos * y[:, None] - sin * x[None, :]).astype(np.float32)
        tilt_x = (z * (cos * self.lean[0] + sin * self.lean[1])).astype(np.float32)[:, None, None]
        tilt_y = (z * (cos * self.lean[1] - sin * self.lean[0])).astype(np.float32)[:, None, None]
        return plane_x - tilt_x, plane_y - tilt_y, z.astype(np.float32)[:, None, None]

    def to_scanner(self, points: np.ndarray) -> np.ndarray:
        """Scanner coordinates of patient points (..., 3)."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        moved = np.stack([cos * x - sin * y + self.lean[0] * z, sin * x + cos * y + self.lean[1] * z, z], axis=-1)
        return moved * self.scale + np.array(self.origin_mm)


class Canvas:
    """A float32 volume on a grid, painted shape after shape with soft edges.

    Args:
        grid: voxels of the volume.
        pose: the patient's frame, in which shapes are given.
        edge_mm: width of the ramp across a surface; about a voxel.
        background: value outside everything.
    """

    def __init__(self, grid: Grid, pose: Pose, edge_mm: float, background: float) -> None:
        self.grid, self.pose, self.edge_mm = grid, pose, edge_mm
        self.values = np.full(grid.shape, background, dtype=np.float32)

    @cached_property
    def coordinates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patient coordinates of all voxels."""
        return self.pose.coordinates(self.grid)

    def box(self, shape: Shape, margin_mm: float = 0.0) -> Slices:
        """Voxels that may lie in ``shape``."""
        lower, upper = shape.bounds()
        corners = np.array([[(lower, upper)[(i >> k) & 1][k] for k in range(3)] for i in range(8)])
        corners = self.pose.to_scanner(corners)
        reach = margin_mm + self.edge_mm
        return self.grid.box(corners.min(axis=0) - reach, corners.max(axis=0) + reach)

    def distance(self, shape: Shape, box: Slices) -> np.ndarray:
        """Signed distance to ``shape`` of the voxels in ``box``, millimetres in scanner space."""
        x, y, z = self.coordinates
        return shape.distance(x[box], y[box], z[box[0]]) * self.pose.scale

    def cover(self, distance: np.ndarray) -> np.ndarray:
        """Share of a voxel that lies inside a surface at signed ``distance``."""
        share = distance * -1.0 / self.edge_mm
        share += 0.5
        return np.clip(share, 0.0, 1.0, out=share)

    def blend(self, box: Slices, share: np.ndarray, value: float | np.ndarray) -> None:
        """Mix ``value`` into the voxels of ``box`` by ``share``."""
        target = self.values[box]
        target += share * (value - target)

    def paint(self, shape: Shape, value: float, within: np.ndarray | None = None) -> None:
        """Fill ``shape`` with ``value``, where given only by the share ``within`` of each voxel (z, y, x)."""
        box = self.box(shape)
        if all(part.stop > part.start for part in box):
            share = self.cover(self.distance(shape, box))
            self.blend(box, share if within is None else share * within[box], value)

    def texture(self, rng: np.random.Generator, scale_mm: Point) -> np.ndarray:
        """A smooth random field over the whole canvas; the same for every grid when ``rng`` is."""
        return texture_around(rng, self.pose, scale_mm).on(self.grid)


_REACH_MM = (180.0, 180.0, 220.0)


def texture_around(rng: np.random.Generator, pose: Pose, scale_mm: Point) -> Texture:
    """A random field over all that any scanner sees of a patient."""
    low = [o - r for o, r in zip(pose.origin_mm, _REACH_MM, strict=True)]
    high = [o + r for o, r in zip(pose.origin_mm, _REACH_MM, strict=True)]
    return Texture(rng, point(low), point(high), scale_mm)
