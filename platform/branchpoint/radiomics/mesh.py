"""Area and volume of a mask's surface by marching cubes (Lorensen and Cline 1987), without storing the surface.

The surface runs through the middle of every edge between a voxel inside and one outside. What lies within one cube of
2 x 2 x 2 voxel centres follows from which of the eight are inside: 256 patterns, whose area and flux are found once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_CORNERS = np.array([[corner >> 2 & 1, corner >> 1 & 1, corner & 1] for corner in range(8)])
"""(z, y, x) of the eight corners; corner c is bit c of a pattern."""


def _faces() -> list[list[int]]:
    """The corners of the six faces, each counterclockwise as seen from outside."""
    faces = []
    for axis in range(3):
        for side in (0, 1):
            others = [(axis + 1) % 3, (axis + 2) % 3]
            ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
            corners = []
            for first, second in ring if side else ring[::-1]:
                place = np.zeros(3, int)
                place[axis], place[others[0]], place[others[1]] = side, first, second
                corners.append(int(place @ (4, 2, 1)))
            faces.append(corners)
    return faces


_FACES = _faces()


def _loops(pattern: int) -> list[np.ndarray]:
    """Closed polygons (M, 3) of edge midpoints that separate the corners inside from those outside.

    On a face whose diagonal corners are inside, these are cut off separately. The normal points outwards.
    """
    follows: dict[tuple[int, int], tuple[int, int]] = {}
    for face in _FACES:
        steps = list(zip(face, face[1:] + face[:1], strict=True))
        crossings = [
            (tuple(sorted(step)), bool(pattern >> step[1] & 1))
            for step in steps
            if (pattern >> step[0] & 1) != (pattern >> step[1] & 1)
        ]
        for place, (edge, enters) in enumerate(crossings):
            if enters:  # from where the ring of corners enters the inside to where it leaves it again
                follows[edge] = crossings[(place + 1) % len(crossings)][0]  # type: ignore[index,assignment]
    loops = []
    while follows:
        start = edge = next(iter(follows))
        points = []
        while edge in follows:
            points.append((_CORNERS[edge[0]] + _CORNERS[edge[1]]) / 2)
            edge = follows.pop(edge)
        assert edge == start
        loops.append(np.array(points))
    return loops


@lru_cache(1)
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of the 256 patterns: area, area projected along z, and flux of the field (z, 0, 0), in voxel units."""
    area, projected, flux = np.zeros((3, 256))
    for pattern in range(256):
        for loop in _loops(pattern):
            normal, middle = _triangles(loop)
            area[pattern] += np.linalg.norm(normal, axis=1).sum()
            projected[pattern] += normal[:, 0].sum()
            flux[pattern] += (normal[:, 0] * middle[:, 0]).sum()
    return area, projected, flux


def _triangles(loop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area vectors and centres, (M - 2, 3) each, of the fan with the largest area: as in PyRadiomics' table."""
    fans = []
    for start in range(len(loop)):
        turned = np.roll(loop, -start, axis=0)
        normal = np.cross(turned[1:-1] - turned[0], turned[2:] - turned[0]) / 2
        fans.append((normal, (turned[0] + turned[1:-1] + turned[2:]) / 3))
    return max(fans, key=lambda fan: np.linalg.norm(fan[0], axis=1).sum())


def patterns(mask: np.ndarray) -> np.ndarray:
    """uint8 (D + 1, H + 1, W + 1): which corners of each cube are inside, with a margin of air around the mask."""
    padded = np.pad(mask, 1).astype(np.uint8)
    found = np.zeros(np.array(mask.shape) + 1, np.uint8)
    for corner, (z, y, x) in enumerate(_CORNERS):
        depth, height, width = found.shape
        found |= padded[z : z + depth, y : y + height, x : x + width] << corner
    return found


def area_and_volume(mask: np.ndarray) -> tuple[float, float]:
    """Of the surface of a bool (D, H, W), in units of a voxel's face and volume (divergence theorem).

    >>> area_and_volume(np.ones((1, 1, 1), bool))  # an octahedron with edges of sqrt(1/2)
    (1.732..., 0.166...)
    """
    found = patterns(mask)
    area, projected, flux = _tables()
    cubes = np.bincount(found.ravel(), minlength=256)
    height = np.broadcast_to(np.arange(len(found), dtype=float)[:, None, None], found.shape)
    heights = np.bincount(found.ravel(), weights=height.ravel(), minlength=256)
    return float(cubes @ area), float(heights @ projected + cubes @ flux)


def vertices(mask: np.ndarray) -> np.ndarray:
    """int (V, 3): vertices of the surface, in half voxels, so that they are whole numbers."""
    padded = np.pad(mask, 1)
    found = []
    for axis in range(3):
        crossing = np.argwhere(np.diff(padded, axis=axis)) * 2
        crossing[:, axis] += 1
        found.append(crossing)
    return np.concatenate(found)
