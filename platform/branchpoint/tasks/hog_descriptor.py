"""Histograms of oriented gradients (Dalal and Triggs 2005) of a whole batch, as scikit-image defines them.

Value by value what ``skimage.feature.hog(skimage.transform.resize(image, window), orientations, (cell, cell), (2, 2),
"L2-Hys", channel_axis=-1)`` gives for each image, on the image's device. Resizing with its anti-aliasing is linear and
separable: two products with matrices that are made once. On a CPU the extra ``fast`` does the same a few times faster
(:mod:`branchpoint.tasks.hog_compiled`).

All of it is in double precision. Where nothing changes in the image, the blocks' two normalisations blow rounding up
to full scale, so that single precision would make noise of every black border.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from branchpoint.tasks import hog_compiled

BLOCK_CELLS = 2
"""Cells of a block along each axis; blocks overlap by all but one."""
SMALLEST_BLOCK = 1e-5
LARGEST_SHARE = 0.2
"""What L2-Hys cuts a block's values at before it normalises them again."""
BAND = 16
"""Rows of a resizing matrix that are multiplied at once: the band that is not zero is little wider."""
ROUNDING = 1e-12
"""Gradients of images from 0 to 1 below this are rounding: taken as 0, so that an edge along an axis stays in one bin.
(In scikit-image such a pixel may fall into the first bin, the last, or, at an angle of -1e-15 degrees, into none.)"""


def descriptor_shape(orientations: int, cell: int, window: tuple[int, int]) -> tuple[int, int, int, int, int]:
    """(rows of blocks, columns of blocks, 2, 2, orientations): what the descriptor is before it is flattened.

    Args:
        orientations: bins of half a turn.
        cell: pixels of a cell along each axis.
        window: (H, W) that images are resized to.

    Raises:
        ValueError: the window does not hold one block.
    """
    rows, columns = (length // cell - BLOCK_CELLS + 1 for length in window)
    if rows < 1 or columns < 1:
        raise ValueError(
            f"window is {window}, cell {cell}: blocks of {BLOCK_CELLS} x {BLOCK_CELLS} cells do not fit; "
            f"use at least {BLOCK_CELLS * cell} pixels along each axis"
        )
    return rows, columns, BLOCK_CELLS, BLOCK_CELLS, orientations


def hog(images: Tensor, orientations: int, cell: int, window: tuple[int, int]) -> Tensor:
    """Descriptors, float64 (B, N), of images (B, C, H, W) of any size, with intensities from 0 to 1.

    N is the product of :func:`descriptor_shape`. Each pixel of several channels takes the channel with the largest
    gradient. No gradient of training flows through it.
    """
    descriptor_shape(orientations, cell, window)
    images = images.detach()
    if images.device.type == "cpu" and hog_compiled.available():
        axes = [_taps(*lengths) for lengths in zip(images.shape[2:], window, strict=True)]
        limits = hog_compiled.Limits(rounding=ROUNDING, smallest_block=SMALLEST_BLOCK, largest_share=LARGEST_SHARE)
        return hog_compiled.descriptors(images, cell, axes, _edges(orientations), limits)
    histograms = _histograms(*_gradient(resize(images, window)), orientations, cell)
    return _normalized_blocks(histograms).flatten(1)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """float64 (B, C, *size): linear interpolation after a Gaussian of sigma (factor - 1) / 2 along axes that shrink,
    mirrored at the borders, as ``skimage.transform.resize`` does by default."""
    batch, channels, height, width = images.shape
    # A CPU keeps one image in its cache; a GPU rather has few large products.
    parts = images.split(1 if images.device.type == "cpu" else batch)
    resized = [
        _multiplied(_multiplied(part.reshape(-1, width), size[1]).reshape(-1, height), size[0]) for part in parts
    ]
    planes = [rows.view(*size, -1, channels).permute(2, 3, 0, 1) for rows in resized]
    return torch.cat(planes).contiguous()


def _multiplied(rows: Tensor, resized: int) -> Tensor:
    """float64 (resized, N): the N ``rows`` (N, length) resized, and transposed."""
    rows = rows.double()
    if rows.shape[1] == resized:
        return rows.T
    return torch.cat([weights @ rows[:, seen].T for seen, weights in _bands(rows.shape[1], resized, rows.device)])


@lru_cache(maxsize=64)
def _bands(length: int, resized: int, device: torch.device) -> list[tuple[slice, Tensor]]:
    """The rows of :func:`_resizing`, in order, in groups with the columns that are not all zero there."""
    bands = []
    for weights in _resizing(length, resized).split(BAND):
        columns = weights.any(dim=0).nonzero()[:, 0]
        seen = slice(int(columns[0]), int(columns[-1]) + 1)
        bands.append((seen, weights[:, seen].contiguous().to(device)))
    return bands


def _resizing(length: int, resized: int) -> Tensor:
    """float64 (resized, length): the matrix that resizes one axis."""
    factor = length / resized
    matrix = torch.zeros(resized, length, dtype=torch.float64)
    at = (torch.arange(resized, dtype=torch.float64) + 0.5) * factor - 0.5
    rows, below = torch.arange(resized), at.floor()
    for column, weight in ((below, 1 - (at - below)), (below + 1, at - below)):
        matrix.index_put_((rows, _mirrored(column.long(), length)), weight, accumulate=True)
    return matrix @ _gaussian(length, (factor - 1) / 2) if factor > 1 else matrix


@lru_cache(maxsize=64)
def _taps(length: int, resized: int) -> hog_compiled.Taps:
    return hog_compiled.Taps.of(_resizing(length, resized))


def _gaussian(length: int, sigma: float) -> Tensor:
    """float64 (length, length): smoothing that is cut off at four sigma."""
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    rows = torch.arange(length)
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        matrix.index_put_((rows, _mirrored(rows + offset, length)), weight.expand(length), accumulate=True)
    return matrix


def _mirrored(index: Tensor, length: int) -> Tensor:
    """``index`` reflected into [0, length) about the centres of the outermost pixels."""
    period = max(2 * (length - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, (period - index) % period if length == 1 else period - index)


def _gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Of the channel with the largest gradient: its magnitude and angle in degrees below 180, both (B, H, W)."""
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    torch.sub(images[..., 2:, :], images[..., :-2, :], out=down[..., 1:-1, :])
    torch.sub(images[..., 2:], images[..., :-2], out=right[..., 1:-1])
    square = down.square().addcmul_(right, right)
    largest = square.amax(dim=1)
    y, x = torch.zeros_like(largest), torch.zeros_like(largest)
    free = torch.ones_like(largest, dtype=torch.bool)
    for channel in range(images.shape[1]):
        chosen = free & (square[:, channel] == largest)
        free ^= chosen
        weight = chosen.double()
        y.addcmul_(down[:, channel], weight)
        x.addcmul_(right[:, channel], weight)
    y, x = F.hardshrink(y, ROUNDING), F.hardshrink(x, ROUNDING)
    angle = torch.rad2deg(torch.atan2(y, x))
    angle += 180.0 * (angle < 0)
    return torch.hypot(x, y), angle * (angle < 180)


def _histograms(magnitude: Tensor, angle: Tensor, orientations: int, cell: int) -> Tensor:
    """(B, rows, columns, orientations): mean magnitude over each cell, by the bin of the angle."""
    batch, height, width = magnitude.shape
    rows, columns = height // cell, width // cell
    magnitude, angle = (part[:, : rows * cell, : columns * cell] for part in (magnitude, angle))
    place = torch.bucketize(angle.contiguous(), _edges(orientations).to(angle.device), right=True)
    cells = torch.arange(batch * rows * columns, device=angle.device).view(batch, rows, 1, columns, 1) * orientations
    place = place.view(batch, rows, cell, columns, cell) + cells
    votes = magnitude.new_zeros(batch * rows * columns * orientations)
    votes.scatter_add_(0, place.flatten(), magnitude.flatten())
    return votes.view(batch, rows, columns, orientations) / cell**2


def _edges(orientations: int) -> Tensor:
    """float64 (orientations - 1,): upper edges in degrees of all bins but the last, of the single precision that they
    have in scikit-image."""
    return (torch.arange(1, orientations) * torch.tensor(180 / orientations, dtype=torch.float32)).double()


def _normalized_blocks(histograms: Tensor) -> Tensor:
    """(B, rows, columns, 2, 2, orientations): L2-Hys of every block."""
    blocks = histograms.unfold(1, BLOCK_CELLS, 1).unfold(2, BLOCK_CELLS, 1).permute(0, 1, 2, 4, 5, 3)

    def norm(values: Tensor) -> Tensor:
        return (values.square().sum(dim=(-3, -2, -1), keepdim=True) + SMALLEST_BLOCK**2).sqrt()

    cut = (blocks / norm(blocks)).clamp(max=LARGEST_SHARE)
    return cut / norm(cut)
