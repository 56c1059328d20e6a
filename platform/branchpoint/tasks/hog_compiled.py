"""HOG for pictures on the CPU, compiled by numba (extra ``fast``).

What :mod:`branchpoint.tasks.hog_descriptor` computes, in double precision like it, but fused: a picture passes the
cache once, where torch reads and writes a whole batch for every operation and multiplies each pixel with many zeros. A
search on CPU cores computes descriptors at every training step. The kernels hold no lock: threads share a batch, and no
operation of torch wakes threads that spin beside them (a square root of a few doubles does).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

NEAR_EDGE = 1e-9
"""Radians: directions nearer than this to the edge of a bin are told by their angle in degrees, as in scikit-image."""


class Limits(NamedTuple):
    """As :mod:`branchpoint.tasks.hog_descriptor` has them."""

    rounding: float
    smallest_block: float
    largest_share: float


class Taps(NamedTuple):
    """What resizes one axis: where each pixel begins to sum, int64 (N,), and the weights, float64 (N, taps)."""

    first: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, matrix: Tensor) -> Taps:
        """The band of a matrix (N, length) that is not zero."""
        weights = matrix.numpy()
        used = weights != 0
        begin, end = used.argmax(1), weights.shape[1] - used[:, ::-1].argmax(1)
        taps = int((end - begin).max())
        begin = np.minimum(begin, weights.shape[1] - taps)
        return cls(begin, np.take_along_axis(weights, begin[:, None] + np.arange(taps), 1))


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def descriptors(images: Tensor, cell: int, axes: Sequence[Taps], edges: Tensor, limits: Limits) -> Tensor:
    """float64 (B, N), blocks of 2 x 2 cells one after the other.

    Args:
        images: (B, C, H, W) on the CPU.
        cell: pixels of a cell along each axis.
        axes: what resizes rows and columns.
        edges: upper edges of all bins but the last in degrees, float64 (orientations - 1,).
        limits: of gradients and blocks.
    """
    pictures = (images if images.dtype == torch.float32 else images.double()).contiguous().numpy()
    rows, columns = axes
    shape, degrees = (len(rows.first), len(columns.first)), edges.numpy()
    directions = np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    cells = (shape[0] // cell, shape[1] // cell, len(degrees) + 1)
    blocks = np.empty((len(pictures), cells[0] - 1, cells[1] - 1, 2, 2, cells[2]))
    resize, gradient, vote, normalize = _kernels()

    def work(part: range) -> None:
        small, row = np.empty((pictures.shape[1], shape[0] + 2, shape[1] + 2)), np.empty(pictures.shape[3])
        slopes = np.empty((2, *shape))
        for place in part:
            votes = np.zeros(cells)
            resize(pictures[place], *rows, *columns, row, small)
            gradient(small, slopes)
            vote(slopes, cell, degrees, directions, limits.rounding, votes)
            normalize(votes / cell**2, limits.smallest_block, limits.largest_share, blocks[place])

    _shared(work, len(pictures))
    return torch.from_numpy(blocks).flatten(1)


def _shared(work: Callable[[range], None], count: int) -> None:
    """``work`` on ``count`` pictures, in parts for as many threads as torch uses; this one takes the first part."""
    threads = max(1, min(torch.get_num_threads(), count))
    first, *others = (range(count * part // threads, count * (part + 1) // threads) for part in range(threads))
    if not others:
        return work(first)
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(work, part) for part in others]
        work(first)
        for part in running:
            part.result()


@lru_cache(maxsize=1)
def _kernels() -> tuple[Callable[..., None], ...]:
    import numba

    compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
    return compiled(_resize), compiled(_gradient), compiled(_vote), compiled(_normalize)


def _resize(
    picture: np.ndarray,
    first_rows: np.ndarray,
    row_weights: np.ndarray,
    first_columns: np.ndarray,
    column_weights: np.ndarray,
    row: np.ndarray,
    small: np.ndarray,
) -> None:
    """``small`` (C, h + 2, w + 2) of ``picture`` (C, H, W): resized, and mirrored by one pixel at each border, so that
    the gradient across it is 0. ``row`` (W,) is for what is between the two axes."""
    channels, height, width = small.shape
    taps = column_weights.shape[1]
    for channel in range(channels):
        into = small[channel]
        for y in range(height - 2):
            row[:] = 0.0
            for tap in range(0, row_weights.shape[1] - 1, 2):  # two at once: half the passes over the row
                weight, source = row_weights[y, tap], picture[channel, first_rows[y] + tap]
                second, below = row_weights[y, tap + 1], picture[channel, first_rows[y] + tap + 1]
                for x in range(row.shape[0]):
                    row[x] += weight * source[x] + second * below[x]
            if row_weights.shape[1] % 2:
                weight, source = row_weights[y, -1], picture[channel, first_rows[y] + row_weights.shape[1] - 1]
                for x in range(row.shape[0]):
                    row[x] += weight * source[x]
            for x in range(width - 2):
                weights, seen = column_weights[x], row[first_columns[x] : first_columns[x] + taps]
                value = 0.0
                for tap in range(taps):
                    value += weights[tap] * seen[tap]
                into[y + 1, x + 1] = value
        into[0], into[height - 1] = into[2], into[height - 3]
        into[:, 0], into[:, width - 1] = into[:, 2], into[:, width - 3]


def _gradient(small: np.ndarray, slopes: np.ndarray) -> None:
    """``slopes`` (2, h, w), down and right, in the first channel of ``small`` with the largest gradient."""
    height, width = slopes.shape[1:]
    largest = np.empty(width)
    for y in range(height):
        down, right = slopes[0, y], slopes[1, y]
        largest[:], down[:], right[:] = -1.0, 0.0, 0.0
        for channel in range(small.shape[0]):
            above, below = small[channel, y, 1 : width + 1], small[channel, y + 2, 1 : width + 1]
            before, after = small[channel, y + 1, :width], small[channel, y + 1, 2:]
            for x in range(width):
                along, across = below[x] - above[x], after[x] - before[x]
                square = along * along + across * across
                larger = square > largest[x]
                largest[x] = square if larger else largest[x]
                down[x] = along if larger else down[x]
                right[x] = across if larger else right[x]


def _vote(
    slopes: np.ndarray, cell: int, degrees: np.ndarray, directions: np.ndarray, rounding: float, votes: np.ndarray
) -> None:
    """Adds the length of each gradient to its cell and bin in ``votes`` (rows, columns, orientations).

    A direction is beyond an edge where it lies to the left of it: the sign of a product, which needs no angle.
    """
    for y in range(votes.shape[0] * cell):
        cells = votes[y // cell]
        for x in range(votes.shape[1] * cell):
            down, right = slopes[0, y, x], slopes[1, y, x]
            down = down if abs(down) > rounding else 0.0
            right = right if abs(right) > rounding else 0.0
            length = math.sqrt(down * down + right * right)
            if length == 0.0:
                continue
            turned = down < 0.0 or (down == 0.0 and right < 0.0)
            down, right = (-down, -right) if turned else (down, right)
            place, near = 0, False
            for edge in range(len(degrees)):
                beyond = down * directions[0, edge] - right * directions[1, edge]
                place += beyond >= 0.0
                near |= abs(beyond) <= NEAR_EDGE * length
            if near:
                angle, place = math.degrees(math.atan2(down, right)), 0
                for edge in range(len(degrees)):
                    place += angle >= degrees[edge]
            cells[x // cell, place] += length


def _normalize(histograms: np.ndarray, smallest: float, share: float, blocks: np.ndarray) -> None:
    """L2-Hys, from ``histograms`` (rows, columns, bins) to ``blocks`` (rows - 1, columns - 1, 2, 2, bins)."""
    for y in range(blocks.shape[0]):
        for x in range(blocks.shape[1]):
            blocks[y, x] = histograms[y : y + 2, x : x + 2]
            values = blocks[y, x].reshape(-1)
            for limit in (share, 1.0):
                square = smallest * smallest
                for place in range(len(values)):
                    square += values[place] * values[place]
                norm = math.sqrt(square)
                for place in range(len(values)):
                    values[place] = min(values[place] / norm, limit)
