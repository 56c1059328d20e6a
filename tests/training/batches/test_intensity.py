"""Changes of intensity agree with MONAI, torchvision and SciPy on equal parameters, and can be replayed and divided."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from branchpoint.config import AugmentationConfig, IntensityAugmentationConfig
from branchpoint.training.batches.augmentation import augment
from branchpoint.training.batches.intensity import (
    IntensityParams,
    adjust_gamma,
    apply_intensity,
    coarsen,
    colour_matrix,
    draw_intensity,
    gaussian_blur,
)
from tests.training.batches.test_augmentation import make_batch

EVERYTHING = IntensityAugmentationConfig(
    probability=1.0, saturation=0.5, hue_turns=0.1, channel_dropout=0.5, cutout=0.5
)


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unchanged(count: int, channels: int, dimensions: int) -> IntensityParams:
    config = IntensityAugmentationConfig(probability=0.0)
    return draw_intensity(count, channels, dimensions, config, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3, 2, 7, 9), (3, 2, 5, 6, 7)])
def test_probability_zero_changes_nothing(shape: tuple[int, ...]) -> None:
    x = image(*shape)
    assert torch.equal(apply_intensity(x, unchanged(3, 2, len(shape) - 2)), x)


def test_brightness_and_contrast_as_monai() -> None:
    transforms = pytest.importorskip("monai.transforms")
    x = image(1, 2, 6, 7, 8)
    params = replace(unchanged(1, 2, 3), brightness=torch.tensor([[0.25, 0.25]]), contrast=torch.tensor([[1.4, 1.4]]))
    monai = transforms.ScaleIntensityFixedMean(factor=0.4, preserve_range=False, channel_wise=True)
    expected = monai(x[0]) + 0.25
    torch.testing.assert_close(apply_intensity(x, params)[0], torch.as_tensor(np.asarray(expected)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_as_monai(inverted: bool) -> None:
    transforms = pytest.importorskip("monai.transforms")
    x = image(2, 6, 7, 8)
    expected = torch.stack(
        [
            torch.as_tensor(np.asarray(transforms.AdjustContrast(1.7, invert_image=inverted)(channel[None])))[0]
            for channel in x
        ]
    )
    changed = adjust_gamma(x, torch.tensor([1.7, 1.7]), inverted)
    torch.testing.assert_close(changed, expected, atol=2e-4, rtol=1e-4)  # MONAI adds 1e-7 to the range


@pytest.mark.parametrize("shape", [(2, 20, 23), (2, 9, 20, 23)])
def test_blur_as_scipy(shape: tuple[int, ...]) -> None:
    x = image(*shape)
    expected = [gaussian_filter(channel.double().numpy(), 0.8, mode="nearest", truncate=4.0) for channel in x]
    np.testing.assert_allclose(gaussian_blur(x, 0.8), np.stack(expected), atol=1e-5)


def test_saturation_as_torchvision() -> None:
    functional = pytest.importorskip("torchvision.transforms.functional")
    colours = 0.3 + 0.4 * torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(1))  # nothing is clipped
    changed = torch.einsum("ij,jhw->ihw", colour_matrix(torch.tensor([1.3]), torch.zeros(1))[0], colours)
    # torchvision rounds the weight of red to 0.2989.
    torch.testing.assert_close(changed, functional.adjust_saturation(colours, 1.3), atol=1e-4, rtol=0)


def test_a_third_of_a_turn_takes_red_to_green_and_keeps_greys() -> None:
    matrix = colour_matrix(torch.ones(1), torch.tensor([1 / 3]))[0]
    torch.testing.assert_close(matrix @ torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(matrix @ torch.full((3,), 0.4), torch.full((3,), 0.4))


def test_coarsening_keeps_a_constant_and_a_factor_of_two_averages_nothing_away_from_edges() -> None:
    assert torch.allclose(coarsen(torch.full((1, 8, 8), 3.0), 2.0), torch.full((1, 8, 8), 3.0))
    ramp = torch.arange(16.0).expand(1, 16, 16)
    inner = coarsen(ramp, 2.0)[..., 2:-2]
    # Every second sample, joined linearly: a ramp again, shifted by at most half a coarse voxel.
    assert (inner.diff(dim=-1) - 1).abs().max() < 1e-5
    assert (inner - ramp[..., 2:-2]).abs().max() <= 1


def test_noise_has_the_deviation_asked_for_and_its_own_seed() -> None:
    x = torch.zeros(2, 1, 64, 64)
    params = replace(unchanged(2, 1, 2), noise=torch.tensor([0.5, 0.5]), noise_seed=torch.tensor([1, 2]))
    noisy = apply_intensity(x, params)
    assert noisy.std() == pytest.approx(0.5, rel=0.05)
    assert not torch.equal(noisy[0], noisy[1])
    assert torch.equal(noisy, apply_intensity(x, params))


def test_a_dropped_channel_and_a_box_hold_the_mean() -> None:
    x = image(1, 2, 10, 10)
    dropped = apply_intensity(x, replace(unchanged(1, 2, 2), dropped=torch.tensor([1])))
    assert torch.equal(dropped[0, 0], x[0, 0])
    torch.testing.assert_close(dropped[0, 1], x[0, 1].mean().expand(10, 10))
    box = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
    cut = apply_intensity(x, replace(unchanged(1, 2, 2), box=box))
    changed = (cut != x)[0, 0]
    assert changed[1:4, 2:6].all()
    assert changed.sum() == 12


@pytest.mark.parametrize(("channels", "dimensions"), [(3, 2), (2, 3)])
def test_rows_of_a_draw_do_what_the_whole_does(channels: int, dimensions: int) -> None:
    x = image(6, channels, *(7, 8, 9)[:dimensions])
    params = draw_intensity(6, channels, dimensions, EVERYTHING, torch.Generator().manual_seed(3))
    whole = apply_intensity(x, params)
    halves = [apply_intensity(x[rows], params[rows]) for rows in (slice(0, 2), slice(2, 6))]
    assert torch.equal(whole, torch.cat(halves))
    assert not torch.equal(whole, x)
    assert whole.isfinite().all()


def test_ranges_and_probability_hold() -> None:
    config = IntensityAugmentationConfig(probability=0.3)
    params = draw_intensity(4000, 2, 3, config, torch.Generator().manual_seed(0))
    assert (params.contrast[:, 0] != 1).float().mean() == pytest.approx(0.3, abs=0.03)
    assert params.contrast.min() >= 1 / 1.3 - 1e-6
    assert params.contrast.max() <= 1.3 + 1e-6
    assert (params.gamma.log().abs() <= math.log(1.4) + 1e-6).all()
    assert not torch.equal(params.contrast[:, 0], params.contrast[:, 1])
    together = draw_intensity(50, 3, 2, replace(config, channels_together=True), torch.Generator().manual_seed(0))
    assert torch.equal(together.contrast[:, 0], together.contrast[:, 2])


def test_masks_stay_and_movements_are_drawn_as_without_intensity() -> None:
    batch = make_batch()
    plain = AugmentationConfig(shift_mm=3)
    moved, changed = (
        augment(batch, config, 1.0, torch.Generator().manual_seed(5))
        for config in (plain, replace(plain, intensity=EVERYTHING))
    )
    assert torch.equal(moved.targets["a"], changed.targets["a"])
    assert not torch.equal(moved.inputs["image"], changed.inputs["image"])
