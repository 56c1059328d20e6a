"""The compiled descriptor is torch's and scikit-image's, also where rounding is blown up or directions tie."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.tasks import hog_compiled
from branchpoint.tasks.hog_descriptor import hog

pytestmark = pytest.mark.skipif(not hog_compiled.available(), reason="numba is missing: pip install branchpoint[fast]")

SIZES = ((40, 52), (31, 67), (130, 90))
DESCRIPTORS = ((6, 16, (128, 64)), (9, 8, (128, 64)), (7, 10, (50, 75)))


def of_torch(images: torch.Tensor, orientations: int, cell: int, window: tuple[int, int]) -> torch.Tensor:
    with mock.patch.object(hog_compiled, "available", return_value=False):
        return hog(images, orientations, cell, window)


@st.composite
def pictures(draw: st.DrawFn) -> torch.Tensor:
    """float32 (1, C, H, W): blobs with noise, in 8 bits or not, with flat, saturated and equal parts."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.sampled_from(SIZES))
    channels = draw(st.sampled_from([1, 3]))
    coarse = torch.from_numpy(random.random((1, channels, 5, 5), dtype=np.float32))
    values = torch.nn.functional.interpolate(
        coarse, size=(height, width), mode=draw(st.sampled_from(["bilinear", "nearest"]))
    )
    values = values * draw(st.sampled_from([1.0, 2.0, 1e-3])) + draw(st.sampled_from([0.0, 0.05])) * torch.from_numpy(
        random.standard_normal(values.shape, dtype=np.float32)
    )
    values = values.clamp(0, 1)
    if draw(st.booleans()):
        values = (values * 255).round() / 255
    if draw(st.booleans()):
        values[..., : height // 2, :] = draw(st.sampled_from([0.0, 0.3, 1.0]))
    if draw(st.booleans()):
        values[:, -1] = values[:, 0]
    return values


@settings(max_examples=15, deadline=None)
@given(images=pictures(), descriptor=st.sampled_from(DESCRIPTORS))
def test_compiled_and_torch_give_the_same(images: torch.Tensor, descriptor: tuple[int, int, tuple[int, int]]) -> None:
    torch.testing.assert_close(hog(images, *descriptor), of_torch(images, *descriptor), rtol=0, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(images=pictures(), descriptor=st.sampled_from(DESCRIPTORS))
def test_compiled_is_scikit_images(images: torch.Tensor, descriptor: tuple[int, int, tuple[int, int]]) -> None:
    from skimage.feature import hog as skimage_hog
    from skimage.transform import resize

    orientations, cell, window = descriptor
    noisy = images + 0.01 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    small = resize(noisy[0].permute(1, 2, 0).double().numpy(), window)
    expected = skimage_hog(small, orientations, (cell, cell), (2, 2), "L2-Hys", channel_axis=-1)
    np.testing.assert_allclose(hog(noisy, *descriptor)[0], expected, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_a_batch(threads: int) -> None:
    batch = torch.rand(5, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = hog(batch, 6, 16, (64, 64))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, of_torch(batch, 6, 16, (64, 64)))


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.to(memory_format=torch.channels_last),
        lambda batch: batch.flip(0),
        lambda batch: batch.double(),
        lambda batch: batch.to(torch.bfloat16),
    ],
    ids=["channels last", "flipped", "double", "bfloat16"],
)
def test_any_layout_and_precision(change: object) -> None:
    batch = change(torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)))  # type: ignore[operator]
    torch.testing.assert_close(hog(batch, 6, 16, (64, 64)), of_torch(batch, 6, 16, (64, 64)))


def test_an_empty_batch_is_empty() -> None:
    assert hog(torch.zeros(0, 3, 40, 40), 6, 16, (64, 64)).shape == (0, 216)


@pytest.mark.parametrize("angle", [0, 30, 45, 60, 90, 120, 135, 150])
def test_a_direction_on_the_edge_of_two_bins_falls_where_its_angle_does(angle: int) -> None:
    """A ramp along each edge of 4, 6 and 12 bins, seen by both without resizing."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    ramp = (x * round(np.cos(np.deg2rad(angle)), 9) + y * round(np.sin(np.deg2rad(angle)), 9) + 32)[None, None] / 128
    for orientations in (4, 6, 12):
        torch.testing.assert_close(
            hog(ramp, orientations, 8, (32, 32)), of_torch(ramp, orientations, 8, (32, 32)), rtol=0, atol=1e-9
        )
