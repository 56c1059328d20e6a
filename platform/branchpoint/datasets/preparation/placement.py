"""Where a prepared grid lies on the input it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from branchpoint.datasets.preparation.grid import Window
from branchpoint.datasets.preparation.volume_files import Grid


@dataclass(frozen=True)
class VolumePlacement:
    """The window of a patient, and the grids of the images it was taken from.

    Attributes:
        window: the prepared grid in physical space.
        modalities: of the images.
        grids: of the images, in the order of ``modalities``.
    """

    kind: ClassVar[str] = "volume"

    window: Window
    modalities: tuple[str, ...]
    grids: tuple[Grid, ...]

    def grid(self, modality: str | None = None) -> Grid:
        """The grid of an image; of the first one by default.

        Raises:
            ValueError: there is no such modality.
        """
        if modality is None:
            return self.grids[0]
        if modality not in self.modalities:
            raise ValueError(f"no {modality!r} image; the images are {', '.join(self.modalities)}")
        return self.grids[self.modalities.index(modality)]


@dataclass(frozen=True)
class PicturePlacement:
    """How a picture was brought to its grid; all in pixels.

    Attributes:
        source: (height, width) of the picture, upright.
        crop: (top, left, height, width) of the part of the picture that is used.
        inside: (top, left, height, width) of that part on the grid; around it there is black.
        grid: (height, width) of the grid.
        orientation: EXIF orientation of the file, from 1 (stored upright) to 8.
    """

    kind: ClassVar[str] = "picture"

    source: tuple[int, int]
    crop: tuple[int, int, int, int]
    inside: tuple[int, int, int, int]
    grid: tuple[int, int]
    orientation: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether the whole picture is used."""
        return self.crop == (0, 0, *self.source)

    def cropped(self, pixels: np.ndarray) -> np.ndarray:
        """The used part of (H, W, ...) of the picture's size."""
        top, left, height, width = self.crop
        return pixels[top : top + height, left : left + width]

    def as_stored(self, upright: np.ndarray) -> np.ndarray:
        """(H, W, ...) of the upright picture, turned and mirrored to lie as in the file."""
        return turned_back(upright, self.orientation)


def turned_back(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Undo ``PIL.ImageOps.exif_transpose``: (H, W, ...) as in the file, whose EXIF ``orientation`` is 1 to 8."""
    turned = np.swapaxes(upright, 0, 1) if orientation in (5, 7) else upright
    quarters = {3: 2, 6: 1, 7: 2, 8: 3}.get(orientation, 0)
    turned = np.rot90(turned, quarters)
    if orientation == 2:
        turned = turned[:, ::-1]
    elif orientation == 4:
        turned = turned[::-1]
    return np.ascontiguousarray(turned)


def nearest(classes: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(H, W) resized to ``size``: each pixel takes the value under its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, classes.shape, strict=True)
    )
    return classes[np.ix_(rows, columns)]
