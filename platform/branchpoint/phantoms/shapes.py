"""Implicit shapes in a patient's own frame: what an anatomy is drawn with.

``distance`` is an approximate signed distance in millimetres, negative inside, exact near the surface to a few
per cent: good enough for soft edges and partial volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from branchpoint.phantoms.grid import Point

Bounds = tuple[np.ndarray, np.ndarray]


class Shape(Protocol):
    """A region of the patient's frame."""

    def bounds(self) -> Bounds:
        """Corners of a box that holds the shape, (x, y, z) each."""

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Signed distance at broadcastable coordinates."""


@dataclass(frozen=True)
class Ellipsoid:
    """Axis-aligned ellipsoid."""

    center: Point
    radii: Point

    def bounds(self) -> Bounds:
        return np.subtract(self.center, self.radii), np.add(self.center, self.radii)

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        (cx, cy, cz), (rx, ry, rz) = self.center, self.radii
        square = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2
        return (np.sqrt(square) - 1.0) * min(self.radii)

    def inset(self, depth: float) -> Ellipsoid:
        """The ellipsoid ``depth`` millimetres further in."""
        rx, ry, rz = self.radii
        return Ellipsoid(self.center, (rx - depth, ry - depth, rz - depth))


@dataclass(frozen=True)
class Capsule:
    """All points within ``radius`` of a segment; ``flat`` > 1 stretches it along y (left-right where < 1)."""

    start: Point
    end: Point
    radius: float
    flat: float = 1.0

    def bounds(self) -> Bounds:
        margin = self.radius * max(1.0, self.flat)
        return np.minimum(self.start, self.end) - margin, np.maximum(self.start, self.end) + margin

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        (ax, ay, az), (bx, by, bz) = self.start, self.end
        vx, vy, vz = bx - ax, (by - ay) / self.flat, bz - az
        dx, dy, dz = x - ax, (y - ay) / self.flat, z - az
        share = (dx * vx + dy * vy + dz * vz) / (vx * vx + vy * vy + vz * vz)
        share = np.clip(share, 0.0, 1.0)
        square = (dx - share * vx) ** 2 + (dy - share * vy) ** 2 + (dz - share * vz) ** 2
        return np.sqrt(square) - self.radius


@dataclass(frozen=True)
class Column:
    """Ellipses stacked along z, each row (z, centre y, radius along x, radius along y), smooth in between."""

    rows: tuple[tuple[float, float, float, float], ...]
    x: float = 0.0
    taper: float = 0.0

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]], x: float = 0.0, taper: float = 0.0) -> Column:
        """A column from (z, centre y, radius x, radius y) rows; ``taper`` narrows its front (towards -y)."""
        return cls(tuple((r[0], r[1], r[2], r[3]) for r in rows), x, taper)

    def bounds(self) -> Bounds:
        table = np.array(self.rows)
        widest = float(table[:, 2].max()) * (1.0 + abs(self.taper))
        lower = (self.x - widest, float((table[:, 1] - table[:, 3]).min()), float(table[0, 0]))
        upper = (self.x + widest, float((table[:, 1] + table[:, 3]).max()), float(table[-1, 0]))
        return np.array(lower), np.array(upper)

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        from scipy.interpolate import PchipInterpolator

        table = np.array(self.rows)
        inside = np.clip(z, table[0, 0], table[-1, 0])
        center, rx, ry = np.moveaxis(PchipInterpolator(table[:, 0], table[:, 1:])(inside), -1, 0).astype(np.float32)
        v = (y - center) / ry
        u = (x - self.x) / (rx * (1.0 + self.taper * np.clip(v, -1, 1))) if self.taper else (x - self.x) / rx
        plane = (np.sqrt(u * u + v * v) - 1.0) * np.minimum(rx, ry)
        ends = np.maximum(table[0, 0] - z, z - table[-1, 0]).astype(np.float32)
        return np.maximum(plane, ends)


@dataclass(frozen=True)
class Arch:
    """A horseshoe open to the back (jaws, hyoid): an elliptic wall between two heights, in front of ``back``."""

    center_y: float
    radii: tuple[float, float]
    thickness: float
    heights: tuple[float, float]
    back: float

    def bounds(self) -> Bounds:
        reach = self.thickness / 2
        lower = (-self.radii[0] - reach, self.center_y - self.radii[1] - reach, self.heights[0])
        return np.array(lower), np.array((self.radii[0] + reach, self.back, self.heights[1]))

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        u, v = x / self.radii[0], (y - self.center_y) / self.radii[1]
        wall = np.abs(np.sqrt(u * u + v * v) - 1.0) * min(self.radii) - self.thickness / 2
        ends = np.maximum(self.heights[0] - z, z - self.heights[1])
        return np.maximum(np.maximum(wall, ends), y - self.back)


def mirrored(shape: Ellipsoid | Capsule) -> Ellipsoid | Capsule:
    """The same shape on the other side of the body."""
    if isinstance(shape, Ellipsoid):
        x, y, z = shape.center
        return Ellipsoid((-x, y, z), shape.radii)
    (ax, ay, az), (bx, by, bz) = shape.start, shape.end
    return Capsule((-ax, ay, az), (-bx, by, bz), shape.radius, shape.flat)
