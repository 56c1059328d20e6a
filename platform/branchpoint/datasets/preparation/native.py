"""Masks and predictions on the grid of the file they belong to.

A network predicts on a prepared grid. What is scored or handed out lies on the grid of the image itself: probabilities
are interpolated there first and become classes afterwards, which keeps outlines smooth (class ids cannot be
interpolated).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from branchpoint.datasets.preparation.volume_files import Grid

LEAST_PROBABILITY = 0.01
"""Only the box that holds every foreground probability above this is interpolated; beyond it there is background."""


@dataclass(frozen=True)
class NativeMask:
    """A mask as its file holds it, with class ids instead of stored values.

    Attributes:
        classes: uint8, the part of the mask that ``start`` begins; for volumes the box around the foreground.
        start: index of the first voxel of ``classes`` in the file, along ([D,] H, W).
        shape: of the whole file, ([D,] H, W).
        grid: where the voxels of a volume lie; ``None`` for pictures.
    """

    classes: np.ndarray
    start: tuple[int, ...]
    shape: tuple[int, ...]
    grid: Grid | None = None

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Spacing along ([D,] H, W); 1 (pixel) for pictures, which have no millimetres."""
        return self.grid.spacing_mm[::-1] if self.grid else (1.0,) * len(self.shape)

    def full(self) -> np.ndarray:
        """uint8 of ``shape``: the class of every voxel of the file."""
        mask = np.zeros(self.shape, np.uint8)
        mask[tuple(slice(a, a + n) for a, n in zip(self.start, self.classes.shape, strict=True))] = self.classes
        return mask

    @classmethod
    def cropped(cls, classes: np.ndarray, grid: Grid | None = None) -> NativeMask:
        """The mask ``classes`` of a whole file, kept as the box around what is not background."""
        ends = []
        for axis in range(classes.ndim):
            seen = np.flatnonzero(classes.any(axis=tuple(other for other in range(classes.ndim) if other != axis)))
            ends.append((int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0))
        part = classes[tuple(slice(*end) for end in ends)]
        return cls(np.ascontiguousarray(part), tuple(a for a, _ in ends), classes.shape, grid)


@dataclass(frozen=True)
class NativeProbabilities:
    """Class probabilities on the grid of a file, worked out channel by channel when they are asked for.

    One channel is the probability of the foreground; several are those of the classes 0, 1, ..., where class 0 is the
    background unless ``outside`` says otherwise.

    Attributes:
        shape: of the file, ([D,] H, W).
        region: the part of the file that is interpolated.
        channels: number of probabilities of each voxel.
        outside: class beyond ``region``; 0 is background.
        sample: channel to its probabilities in ``region``, float32.
        turn: puts an array of the picture's upright shape into the orientation in which the file is stored.
    """

    shape: tuple[int, ...]
    region: tuple[slice, ...]
    channels: int
    sample: Callable[[int], np.ndarray]
    outside: int = 0
    turn: Callable[[np.ndarray], np.ndarray] = lambda array: array

    def probability(self, channel: int) -> np.ndarray:
        """float32 of the file's shape: the probability of one channel."""
        values = np.full(self.shape, self.beyond(channel), np.float32)
        values[self.region] = self.sample(channel)
        return self.turn(values)

    def classes(self, threshold: float = 0.5) -> np.ndarray:
        """uint8 of the file's shape: the most probable class.

        With one channel, class 1 where the probability reaches ``threshold``. Memory for three arrays of the region's
        size is needed, whatever the number of channels.
        """
        best = self.sample(0)
        ids = np.zeros(best.shape, np.uint8)
        if self.channels == 1:
            ids[best >= threshold] = 1
        for channel in range(1, self.channels):
            values = self.sample(channel)
            ids[values > best] = channel
            np.maximum(best, values, out=best)
        whole = np.full(self.shape, self.outside, np.uint8)
        whole[self.region] = ids
        return self.turn(whole)

    def beyond(self, channel: int) -> float:
        """Probability of a channel where the network saw nothing: 1 for background, else 0."""
        return float(channel == 0 and self.channels > 1 and not self.outside)


def foreground(probabilities: np.ndarray) -> np.ndarray:
    """bool ([D,] H, W): where any class but background has more than ``LEAST_PROBABILITY``.

    Args:
        probabilities: (channels, [D,] H, W), as in :class:`NativeProbabilities`.
    """
    classes = probabilities if len(probabilities) == 1 else probabilities[1:]
    return np.any(classes > LEAST_PROBABILITY, axis=0)
