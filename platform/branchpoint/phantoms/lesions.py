"""Primary tumour and lymph nodes: irregular shapes of a given volume, with heterogeneous uptake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from branchpoint.phantoms.anatomy import Anatomy
from branchpoint.phantoms.canvas import Canvas
from branchpoint.phantoms.grid import Grid, Point, Slices, Texture, point

_REACH = 2.1  # how far from its centre a lesion may grow round obstacles, in radii of a ball of its volume


@dataclass(frozen=True)
class Lesion:
    """A lesion in place: the voxels whose warped distance from its centre is below ``level_mm``.

    Attributes:
        center: patient frame, millimetres.
        stretch: radii along (x, y, z) relative to a ball.
        level_mm: warped distance at the surface.
        reach_mm: half-width of the region that holds it.
        warp: field that makes the outline irregular.
        uptake: field that makes the uptake uneven.
        heterogeneity: 0 (even) to 1 (patchy with a necrotic core).
    """

    center: Point
    stretch: Point
    level_mm: float
    reach_mm: float
    warp: Texture
    uptake: Texture
    heterogeneity: float

    def on(self, anatomy: Anatomy, grid: Grid, edge_mm: float) -> tuple[Slices, np.ndarray, np.ndarray]:
        """The lesion on a grid.

        Returns:
            The box of voxels that holds it, the share of each voxel that lies inside it, and the relative uptake,
            both float32 over the box.
        """
        box = self._box(anatomy, grid)
        canvas = Canvas(grid.part(box), anatomy.pose, edge_mm, 0.0)
        warped = _warped(canvas, self.center, self.stretch, self.warp)
        share = canvas.cover(np.maximum(warped - self.level_mm, anatomy.barrier(canvas)))
        return box, share, self._relative_uptake(warped / self.level_mm, canvas.grid)

    def meets(self, anatomy: Anatomy, grid: Grid) -> bool:
        """Whether the lesion may reach into a grid."""
        return all(part.stop > part.start for part in self._box(anatomy, grid))

    def _box(self, anatomy: Anatomy, grid: Grid) -> Slices:
        middle = anatomy.pose.to_scanner(np.array(self.center))
        return grid.box(middle - self.reach_mm, middle + self.reach_mm)

    def _relative_uptake(self, radius: np.ndarray, grid: Grid) -> np.ndarray:
        patchy = np.maximum(1.0 + (0.06 + 0.3 * self.heterogeneity) * self.uptake.on(grid), 0.1)
        necrosis = 0.88 * np.clip((self.heterogeneity - 0.45) / 0.4, 0.0, 1.0)
        core = np.clip((0.62 - radius) / 0.25, 0.0, 1.0)
        return (patchy * (1.0 - necrosis * core)).astype(np.float32)


def grow(anatomy: Anatomy, center: Point, volume_ml: float, heterogeneity: float, rng: np.random.Generator) -> Lesion:
    """A lesion of ``volume_ml`` round ``center`` (patient frame) that stops at skin, bone and the open airway."""
    radius = float((3000.0 * volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0))
    stretch = point(np.exp(rng.normal((0.0, 0.0, 0.1), 0.13)))
    middle = anatomy.pose.to_scanner(np.array(center))
    reach = _REACH * radius * anatomy.pose.scale + 10.0
    lower, upper = point(middle - reach), point(middle + reach)
    warp = Texture(rng, lower, upper, (0.75 * radius,) * 3)
    uptake = Texture(rng, lower, upper, (max(0.4 * radius, 3.0),) * 3)
    canvas = Canvas(Grid.covering(lower, upper, (max(radius / 8.0, 0.6),) * 3), anatomy.pose, 1.0, 0.0)
    warped = _warped(canvas, center, stretch, warp)
    room = np.sort(warped[anatomy.barrier(canvas) < 0.0])
    wanted = round(volume_ml / canvas.grid.voxel_ml)
    if not 0 < wanted < room.size:
        raise ValueError(
            f"a lesion of {volume_ml:.1f} ml at {center} has room for {room.size * canvas.grid.voxel_ml} ml"
        )
    return Lesion(center, stretch, float(room[wanted]), float(reach), warp, uptake, heterogeneity)


def _warped(canvas: Canvas, center: Point, stretch: Point, warp: Texture) -> np.ndarray:
    x, y, z = ((axis - c) / s for axis, c, s in zip(canvas.coordinates, center, stretch, strict=True))
    outline = np.exp(0.16 * warp.on(canvas.grid))
    return np.sqrt(x * x + y * y + z * z) * outline * canvas.pose.scale
