"""Dense prediction of a scan larger than the window: overlapping tiles, weighted by a Gaussian, handed out as they end.

Weights are products of one Gaussian along each axis (sigma an eighth of the tile, centred), and tiles lie on a product
grid, so the sum of all weights at a voxel is a product too. Each axis is therefore normalised by itself, and neither a
map of weights nor one of sums is kept, as MONAI's sliding window does. Sums are kept in single precision for one strip
of tiles, and for the planes that the next row of strips covers too; what no later tile reaches is handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

SIGMA = 1 / 8
OVERLAP = 0.5


def tile_starts(length: int, size: int, overlap: float = OVERLAP) -> list[int]:
    """First voxels of the tiles along one axis, spread evenly so that the last tile ends with the axis.

    >>> tile_starts(100, 64)
    [0, 18, 36]
    """
    if length < size:
        raise ValueError(f"an axis of {length} voxels is shorter than a tile of {size}")
    step = max(1, int(size * (1 - overlap)))
    count = -(-(length - size) // step) + 1
    return [round(i * (length - size) / max(1, count - 1)) for i in range(count)]


def axis_weights(length: int, size: int, starts: Sequence[int]) -> list[Tensor]:
    """For each tile its weights (size,) along one axis, float32; at each voxel those of all tiles sum to 1."""
    place = torch.arange(size, dtype=torch.float64)
    bell = torch.exp(-(((place - (size - 1) / 2) / (size * SIGMA)) ** 2) / 2)
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + size] += bell
    return [(bell / total[start : start + size]).float() for start in starts]


def blocks(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    channels: int,
    size: Sequence[int],
    overlap: float = OVERLAP,
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """The prediction in parts that together cover the scan once: where they lie, and their values.

    Args:
        predict: tile (1, C, *size) to (channels, *size).
        image: (C, D, H, W) or (C, H, W), at least as large as a tile along each axis.
        channels: of the prediction.
        size: of a tile.
        overlap: share of a tile that the next one covers too.

    Yields:
        planes and rows along the first two spatial axes, and float32 (channels, planes, rows, ...), valid until the
        next step.
    """
    shape = image.shape[1:]
    starts = [tile_starts(length, edge, overlap) for length, edge in zip(shape, size, strict=True)]
    weights = [axis_weights(*each) for each in zip(shape, size, starts, strict=True)]
    planes, rows = (_steps(first, edge) for first, edge in zip(starts[:2], size[:2], strict=True))
    carried = torch.zeros(channels, size[0] - min(planes), *shape[1:])
    strip = torch.zeros(channels, size[0], size[1], *shape[2:])
    held = 0
    for top, done, along in zip(starts[0], planes, weights[0], strict=True):
        for left, ready, across in zip(starts[1], rows, weights[1], strict=True):
            _add_tiles(predict, image, strip, (top, left), along[:, None] * across, starts[2:], weights[2:], size)
            part, place = strip[:, :, :ready], slice(left, left + ready)
            part[:, :held] += carried[:, :held, place]
            yield (slice(top, top + done), place), part[:, :done]
            carried[:, : size[0] - done, place] = part[:, done:]
            _move_up(strip, ready)
        held = size[0] - done


def _steps(starts: Sequence[int], size: int) -> list[int]:
    """How many voxels of each tile no later tile reaches."""
    return [*(after - start for start, after in pairwise(starts)), size]


def _move_up(strip: Tensor, ready: int) -> None:
    """Drop the first ``ready`` rows; rows that come in at the end are zero."""
    left = strip.shape[2] - ready
    rest = strip[:, :, ready:]
    strip[:, :, :left] = rest if left <= ready else rest.clone()  # a copy only where both overlap
    strip[:, :, left:] = 0


def _add_tiles(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    strip: Tensor,
    corner: tuple[int, int],
    weight: Tensor,
    starts: Sequence[Sequence[int]],
    weights: Sequence[Sequence[Tensor]],
    size: Sequence[int],
) -> None:
    """Add all tiles whose first plane and row are ``corner`` to ``strip``."""
    rows = image[:, corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
    if not starts:  # pictures
        strip.addcmul_(predict(rows[None]).to(strip.device).float(), weight)
        return
    for start, last in zip(starts[0], weights[0], strict=True):
        place = slice(start, start + size[2])
        found = predict(rows[None, ..., place]).to(strip.device).float()
        strip[..., place].addcmul_(found, weight[..., None] * last)
