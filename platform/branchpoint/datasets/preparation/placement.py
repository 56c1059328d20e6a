"""Where a picture lies on the grid it was resized to, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """How a picture was brought to its grid; all in pixels.

    Attributes:
        source: (height, width) of the file.
        crop: (top, left, height, width) of the part of the file that is used.
        inside: (top, left, height, width) of that part on the grid; around it there is black.
        grid: (height, width) of the grid.
    """

    source: tuple[int, int]
    crop: tuple[int, int, int, int]
    inside: tuple[int, int, int, int]
    grid: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether the whole file is used."""
        return self.crop == (0, 0, *self.source)

    def cropped(self, pixels: np.ndarray) -> np.ndarray:
        """The used part of (H, W, ...) of the file's size."""
        top, left, height, width = self.crop
        return pixels[top : top + height, left : left + width]

    def restore(self, classes: np.ndarray, outside: int = 0) -> np.ndarray:
        """Class ids (H, W) of the grid, such as a prediction, at the file's size; ``outside`` beyond the used part."""
        top, left, height, width = self.inside
        restored = np.full(self.source, outside, classes.dtype)
        part = nearest(classes[top : top + height, left : left + width], self.crop[2:])
        self.cropped(restored)[:] = part
        return restored


def nearest(classes: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(H, W) resized to ``size``: each pixel takes the value under its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, classes.shape, strict=True)
    )
    return classes[np.ix_(rows, columns)]
