"""A region of interest: its voxels, which of them are neighbours, and the lines they lie on.

Everything that texture features need of the geometry is found once here and shared by all modalities and
discretisations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

DIRECTIONS = tuple((z, y, x) for z in (0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1) if (z, y, x) > (0, 0, 0))
"""The 13 directions to the 26 neighbours of a voxel, one of each opposite pair, as (z, y, x)."""


@dataclass(frozen=True)
class Runs:
    """The voxels of a region in the order in which lines of one direction pass them.

    Attributes:
        order: int (N,), positions of the region's voxels.
        breaks: bool (N - 1,), whether the voxel behind does not follow directly on the same line.
    """

    order: np.ndarray
    breaks: np.ndarray


class Region:
    """N voxels of interest on an isotropic grid.

    Attributes:
        mask: bool (D, H, W), cropped to the region.
        spacing_mm: distance of voxel centres along every axis.
        coordinates: int (N, 3), (z, y, x) of its voxels in the cropped mask.

    Raises:
        ValueError: the mask is not three-dimensional, or is empty.

    Example:
        >>> region = Region(np.ones((2, 2, 2), bool), spacing_mm=2.0)
        >>> region.size, len(region.pairs[0][0])
        (8, 4)
    """

    def __init__(self, mask: np.ndarray, spacing_mm: float) -> None:
        if mask.ndim != 3 or not mask.any():
            raise ValueError(f"a mask of shape {mask.shape} with {np.count_nonzero(mask)} voxels is no region in 3D")
        self.spacing_mm = float(spacing_mm)
        found = np.argwhere(mask)
        lower, upper = found.min(0), found.max(0) + 1
        self.box = tuple(slice(start, stop) for start, stop in zip(lower, upper, strict=True))
        self.mask = np.asarray(mask, bool)[self.box]
        self.coordinates = found - lower

    @property
    def size(self) -> int:
        """N."""
        return len(self.coordinates)

    def values(self, image: np.ndarray) -> np.ndarray:
        """float64 (N,): of an image on the grid of the whole mask."""
        return image[self.box][self.mask].astype(np.float64)

    @cached_property
    def _positions(self) -> np.ndarray:
        """int (D + 2, H + 2, W + 2): position of each voxel, -1 outside, with a margin of one voxel."""
        positions = np.full(np.array(self.mask.shape) + 2, -1, np.int64)
        positions[1:-1, 1:-1, 1:-1][self.mask] = np.arange(self.size)
        return positions

    @cached_property
    def pairs(self) -> Sequence[tuple[np.ndarray, np.ndarray]]:
        """For each of :data:`DIRECTIONS`, the positions of the voxels that have a neighbour there, and of these."""
        found = []
        inner = self.coordinates + 1
        for direction in DIRECTIONS:
            neighbour = self._positions[tuple((inner + direction).T)]
            has = neighbour >= 0
            found.append((np.flatnonzero(has), neighbour[has]))
        return found

    @cached_property
    def runs(self) -> Sequence[Runs]:
        """The lines of each of :data:`DIRECTIONS`."""
        return [self._lines(np.array(direction)) for direction in DIRECTIONS]

    def _lines(self, direction: np.ndarray) -> Runs:
        axis = int(np.flatnonzero(direction)[0])
        along = self.coordinates[:, axis] * direction[axis]
        start = self.coordinates - along[:, None] * direction
        start -= start.min(0)
        line = np.ravel_multi_index(tuple(start.T), tuple(start.max(0) + 1))
        place = line * (np.ptp(along) + 2) + along - along.min()
        order = np.argsort(place)
        return Runs(order, np.diff(place[order]) != 1)
