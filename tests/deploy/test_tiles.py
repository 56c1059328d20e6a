"""Sliding windows: the same as weighting every tile by hand, exact for networks that look at one voxel at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.deploy.prediction.tiles import axis_weights, blocks, tile_starts


@given(size=st.integers(1, 40), more=st.integers(0, 90), overlap=st.floats(0, 0.8))
@settings(max_examples=60)
def test_tiles_cover_the_axis_and_weights_sum_to_one(size: int, more: int, overlap: float) -> None:
    length = size + more
    starts = tile_starts(length, size, overlap)
    assert starts[0] == 0
    assert starts[-1] == length - size
    assert starts == sorted(set(starts))
    total = torch.zeros(length)
    for start, weights in zip(starts, axis_weights(length, size, starts), strict=True):
        total[start : start + size] += weights
    assert torch.allclose(total, torch.ones(length), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((37, 20, 25), (16, 16, 12)), ((40, 33), (16, 16)), ((8, 9, 10), (8, 8, 8)), ((33, 8, 21), (9, 8, 7))],
)
def test_against_tiles_weighted_by_hand(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    image = torch.randn(2, *shape)

    def predict(tile: torch.Tensor) -> torch.Tensor:
        """Depends on the place in the tile, so that weights matter."""
        ramp = torch.linspace(0, 1, tile.shape[2]).view(-1, *[1] * (tile.dim() - 3))
        return torch.stack([tile[0, 0] * ramp, tile[0, 1] + ramp, tile[0].sum(0)])

    found, covered = torch.zeros(3, *shape), torch.zeros(shape[:2])
    for where, values in blocks(predict, image, 3, size):
        found[(slice(None), *where)] = values
        covered[where] += 1
    assert (covered == 1).all()
    expected, weight = torch.zeros(3, *shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    bells = [torch.exp(-(((torch.arange(s) - (s - 1) / 2) / (s / 8)) ** 2) / 2).double() for s in size]
    bell = bells[0]
    for other in bells[1:]:
        bell = bell[..., None] * other
    for corner in np.ndindex(*[len(tile_starts(a, b)) for a, b in zip(shape, size, strict=True)]):
        starts = [tile_starts(a, b)[i] for a, b, i in zip(shape, size, corner, strict=True)]
        place = tuple(slice(start, start + edge) for start, edge in zip(starts, size, strict=True))
        expected[(slice(None), *place)] += predict(image[(slice(None), *place)][None]) * bell
        weight[place] += bell
    torch.testing.assert_close(found.double(), expected / weight, rtol=1e-5, atol=1e-5)


def test_exact_for_a_network_that_looks_at_one_voxel() -> None:
    image = torch.randn(1, 50, 30, 41)
    found = torch.zeros_like(image)
    for where, values in blocks(lambda tile: tile[0].sigmoid(), image, 1, (16, 16, 16)):
        found[(slice(None), *where)] = values
    torch.testing.assert_close(found, image.sigmoid(), rtol=0, atol=1e-6)


def test_scan_smaller_than_a_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than a tile"):
        tile_starts(10, 16)
