"""Dense prediction of a scan larger than the window: overlapping tiles, weighted by a Gaussian, one slab at a time.

Weights are products of one Gaussian along each axis (sigma an eighth of the tile, centred), and tiles lie on a product
grid, so the sum of all weights at a voxel is a product too. Each axis is therefore normalised by itself, and neither a
map of weights nor one of sums is kept, as MONAI's sliding window does. Slabs along the first axis are handed out once
no later tile reaches them: single precision is needed for one slab alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


def slabs(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    channels: int,
    size: Sequence[int],
    overlap: float = OVERLAP,
) -> Iterator[tuple[slice, Tensor]]:
    """Parts of the prediction along the first spatial axis, in order: where they lie, and their values.

    Args:
        predict: tile (1, C, *size) to (channels, *size).
        image: (C, D, H, W) or (C, H, W), at least as large as a tile along each axis.
        channels: of the prediction.
        size: of a tile.
        overlap: share of a tile that the next one covers too.

    Yields:
        planes, and float32 (channels, planes, ...), valid until the next step.
    """
    shape = image.shape[1:]
    starts = [tile_starts(length, edge, overlap) for length, edge in zip(shape, size, strict=True)]
    weights = [axis_weights(*each) for each in zip(shape, size, starts, strict=True)]
    buffer = torch.zeros(channels, size[0], *shape[1:])
    for number, top in enumerate(starts[0]):
        _add_row(predict, image, buffer, top, weights[0][number], starts[1:], weights[1:], size)
        done = (starts[0][number + 1] if number + 1 < len(starts[0]) else shape[0]) - top
        yield slice(top, top + done), buffer[:, :done]
        if done < size[0]:
            buffer[:, : size[0] - done] = buffer[:, done:].clone()
        buffer[:, max(0, size[0] - done) :] = 0


def _add_row(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    buffer: Tensor,
    top: int,
    along: Tensor,
    starts: Sequence[Sequence[int]],
    weights: Sequence[Sequence[Tensor]],
    size: Sequence[int],
) -> None:
    """Add all tiles that begin at plane ``top`` to ``buffer``."""
    rows, row_weights = starts[0], weights[0]
    columns, column_weights = (starts[1], weights[1]) if len(starts) > 1 else ([None], [None])
    for row, across in zip(rows, row_weights, strict=True):
        for column, last in zip(columns, column_weights, strict=True):
            place = [slice(row, row + size[1])]
            weight = along[:, None] * across
            if column is not None and last is not None:
                place.append(slice(column, column + size[2]))
                weight = weight[..., None] * last
            tile = image[(slice(None), slice(top, top + size[0]), *place)]
            buffer[(slice(None), slice(None), *place)].addcmul_(predict(tile[None]).to(buffer.device).float(), weight)
