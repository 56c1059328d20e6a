"""Augmentation: the right move, the same for image and masks, replayable, and equal for samples and batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from branchpoint.config import AugmentationConfig
from branchpoint.datasets.batch import Batch
from branchpoint.training.batches.augmentation import AugmentationParams, apply_params, augment, make_params

BACKGROUND = torch.tensor([[-1.0, -0.4], [-1.0, -0.9], [-1.0, 0.1]])


def make_batch(shape: tuple[int, ...] = (8, 10, 12), count: int = 3, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, 2, *shape, generator=generator)
    masks = {
        name: torch.randint(0, 3, (count, 1, *shape), generator=generator, dtype=torch.uint8) for name in ("a", "b")
    }
    return Batch(
        {"image": image, "intensity_background": BACKGROUND[:count], "voxel_ml": torch.ones(count)},
        {**masks, "survival": torch.ones(count, 2), "grade": torch.ones(count, dtype=torch.int64)},
        {"a": torch.ones(count, dtype=torch.bool)},
        torch.arange(count),
    )


def params(shift: list[int], mirror: bool = False, degrees: float = 0.0, count: int = 3) -> AugmentationParams:
    angle = torch.full((count,), math.radians(degrees))
    return AugmentationParams(torch.tensor([shift] * count), torch.full((count,), mirror), angle)


def by_scipy(values: np.ndarray, moves: AugmentationParams, row: int, order: int, outside: float) -> np.ndarray:
    """The same move of (D, H, W) by an independent implementation, in float64."""
    cos, sin = math.cos(moves.angle_rad[row]), math.sin(moves.angle_rad[row])
    side = -1.0 if moves.mirror[row] else 1.0
    end = -1.0 if moves.flip is not None and moves.flip[row] else 1.0
    scale = 1.0 if moves.scale is None else float(moves.scale[row])
    back = np.array(
        [[1, 0, 0], [0, end * cos / scale, -end * sin / scale], [0, side * sin / scale, side * cos / scale]]
    )
    centre = (np.array(values.shape) - 1) / 2
    offset = centre - back @ (centre + moves.shift_voxels[row].numpy())
    return affine_transform(values.astype(float), back, offset, order=order, mode="grid-constant", cval=outside)


@given(
    seed=st.integers(0, 10_000),
    degrees=st.sampled_from([0.0, 5.0, 40.0]),
    shift_mm=st.sampled_from([0.0, 3.0, 50.0]),
    flip=st.booleans(),
    scaling=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=40, deadline=None)
def test_agrees_with_scipy(seed: int, degrees: float, shift_mm: float, flip: bool, scaling: float) -> None:
    batch = make_batch(seed=seed)
    config = AugmentationConfig(shift_mm=shift_mm, rotation_degrees=degrees, flip=flip, scaling=scaling)
    moves = make_params(3, 3, config, 1.5, torch.Generator().manual_seed(seed))
    moved = apply_params(batch, moves)
    for row in range(3):
        for channel in range(2):
            expected = by_scipy(batch.inputs["image"][row, channel].numpy(), moves, row, 1, BACKGROUND[row, channel])
            np.testing.assert_allclose(moved.inputs["image"][row, channel], expected, atol=2e-5)
        for name in ("a", "b"):
            expected = by_scipy(batch.targets[name][row, 0].numpy(), moves, row, 0, 0)
            assert (moved.targets[name][row, 0].numpy() != expected).mean() < 0.01  # rounding of exact halves


def test_shift_moves_towards_higher_indices() -> None:
    batch = make_batch()
    moved = apply_params(batch, params([2, -3, 4]))
    image, expected = moved.inputs["image"], batch.inputs["image"]
    torch.testing.assert_close(image[:, :, 2:, :-3, 4:], expected[:, :, :-2, 3:, :-4], atol=1e-5, rtol=0)
    assert (moved.targets["a"][:, :, 2:, :-3, 4:] == batch.targets["a"][:, :, :-2, 3:, :-4]).all()
    for new in (image[:, :, :2], image[:, :, :, -3:], image[..., :4]):
        torch.testing.assert_close(new, BACKGROUND[:, :, None, None, None].expand_as(new), atol=1e-5, rtol=0)
    assert not moved.targets["a"][:, :, :2].any()
    assert not moved.targets["a"][..., :4].any()


def test_mirror_exchanges_left_and_right() -> None:
    batch = make_batch()
    moved = apply_params(batch, params([0, 0, 0], mirror=True))
    torch.testing.assert_close(moved.inputs["image"], batch.inputs["image"].flip(-1), atol=1e-5, rtol=0)
    assert (moved.targets["b"] == batch.targets["b"].flip(-1)).all()


def test_flip_exchanges_up_and_down() -> None:
    batch = make_batch()
    still = params([0, 0, 0])
    moved = apply_params(batch, AugmentationParams(still.shift_voxels, still.mirror, still.angle_rad, ~still.mirror))
    torch.testing.assert_close(moved.inputs["image"], batch.inputs["image"].flip(-2), atol=1e-5, rtol=0)
    assert (moved.targets["b"] == batch.targets["b"].flip(-2)).all()


def test_half_are_flipped_where_asked_for_and_the_other_draws_stay() -> None:
    drawn, plain = (
        make_params(2000, 2, AugmentationConfig(flip=flip), 1.0, torch.Generator().manual_seed(3))
        for flip in (True, False)
    )
    assert drawn.flip is not None
    assert plain.flip is None
    assert drawn.flip.float().mean() == pytest.approx(0.5, abs=0.04)
    assert torch.equal(drawn.shift_voxels, plain.shift_voxels)
    assert drawn[5:9].flip is not None
    assert torch.equal(drawn[5:9].flip, drawn.flip[5:9])


def test_rotation_turns_the_axial_plane() -> None:
    batch = make_batch((4, 9, 9))
    moved = apply_params(batch, params([0, 0, 0], degrees=90))
    torch.testing.assert_close(moved.inputs["image"], batch.inputs["image"].rot90(-1, (-2, -1)), atol=1e-5, rtol=0)
    assert (moved.targets["a"] == batch.targets["a"].rot90(-1, (-2, -1))).all()


def test_shift_beyond_the_volume_leaves_background() -> None:
    moved = apply_params(make_batch(), params([9, 0, 0]))
    assert (moved.inputs["image"] == BACKGROUND[:, :, None, None, None]).all()
    assert not moved.targets["a"].any()


def test_batches_equal_single_samples() -> None:
    batch = make_batch()
    moves = make_params(3, 3, AugmentationConfig(shift_mm=4), 1.0, torch.Generator().manual_seed(1))
    together = apply_params(batch, moves)
    for row in range(3):
        one = slice(row, row + 1)
        alone = apply_params(
            Batch(
                {k: v[one] for k, v in batch.inputs.items()},
                {k: v[one] for k, v in batch.targets.items()},
                {},
                batch.index[one],
            ),
            moves[one],
        )
        assert (alone.inputs["image"] == together.inputs["image"][one]).all()
        assert (alone.targets["a"] == together.targets["a"][one]).all()


def test_images_in_the_plane() -> None:
    flat, deep = make_batch((10, 12)), make_batch((1, 10, 12))
    moves = make_params(3, 2, AugmentationConfig(shift_mm=3), 1.0, torch.Generator().manual_seed(2))
    assert moves.shift_voxels.shape == (3, 2)
    level = AugmentationParams(torch.nn.functional.pad(moves.shift_voxels, (1, 0)), moves.mirror, moves.angle_rad)
    moved = apply_params(flat, moves)
    assert moved.inputs["image"].shape == (3, 2, 10, 12)
    assert moved.targets["a"].shape == (3, 1, 10, 12)
    same = apply_params(deep, level)
    assert torch.equal(moved.inputs["image"], same.inputs["image"][:, :, 0])
    assert torch.equal(moved.targets["a"], same.targets["a"][:, :, 0])


def test_each_movement_has_its_probability() -> None:
    config = AugmentationConfig(shift_mm=50, rotation_degrees=10, scaling=0.5, movement_probability=0.3)
    moves = make_params(4000, 2, config, 1.0, torch.Generator().manual_seed(5))
    assert moves.scale is not None
    shifted, turned, scaled = (moves.shift_voxels != 0).any(1), moves.angle_rad != 0, moves.scale != 1
    for moved in (shifted, turned, scaled):
        assert abs(moved.float().mean() - 0.3) < 0.03  # four standard errors
    # Each is drawn by itself.
    assert abs((shifted & turned).float().mean() - 0.09) < 0.02
    assert abs((turned & scaled).float().mean() - 0.09) < 0.02
    # Mirrors have their own probability, and what moves has the full range.
    assert abs(moves.mirror.float().mean() - 0.5) < 0.04
    assert moves.shift_voxels.abs().max() == 50


def test_movements_of_probability_zero_leave_the_mirrors() -> None:
    always = make_params(5, 2, AugmentationConfig(scaling=0.5), 1.0, torch.Generator().manual_seed(6))
    never = AugmentationConfig(scaling=0.5, movement_probability=0.0)
    none = make_params(5, 2, never, 1.0, torch.Generator().manual_seed(6))
    assert (always.shift_voxels != 0).any()
    assert always.angle_rad.all()
    assert not none.shift_voxels.any()
    assert not none.angle_rad.any()
    assert none.scale is not None
    assert (none.scale == 1).all()
    assert torch.equal(none.mirror, always.mirror)


def test_same_seed_same_batch() -> None:
    batch, config = make_batch(), AugmentationConfig(shift_mm=4)
    first, second, third = (augment(batch, config, 1.0, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(first.inputs["image"], second.inputs["image"])
    assert not torch.equal(first.inputs["image"], third.inputs["image"])


def test_everything_else_is_untouched() -> None:
    batch = make_batch()
    before = batch.inputs["image"].clone()
    moved = augment(batch, AugmentationConfig(shift_mm=4), 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(batch.inputs["image"], before)
    assert moved.targets["survival"] is batch.targets["survival"]
    assert moved.inputs["voxel_ml"] is batch.inputs["voxel_ml"]
    assert moved.index is batch.index
    assert moved.targets["a"].dtype == torch.uint8
    assert set(moved.targets["a"].unique().tolist()) <= {0, 1, 2}
    assert moved.inputs["image"].is_contiguous()


def test_without_a_background_the_smallest_value_fills() -> None:
    batch = make_batch()
    bare = Batch({"image": batch.inputs["image"]}, {}, {}, batch.index)
    moved = apply_params(bare, params([3, 0, 0])).inputs["image"]
    assert torch.equal(moved[:, :, 0, 0, 0], batch.inputs["image"].amin((2, 3, 4)))


def test_draws_are_uniform_within_their_limits() -> None:
    config = AugmentationConfig(shift_mm=30, rotation_degrees=5)
    moves = make_params(20_000, 3, config, 2.0, torch.Generator().manual_seed(0))
    assert moves.shift_voxels.min() == -15
    assert moves.shift_voxels.max() == 15
    counts = torch.bincount((moves.shift_voxels + 15).flatten())
    assert counts.min() > 0.9 * counts.float().mean()
    assert moves.mirror.float().mean() == pytest.approx(0.5, abs=0.02)
    degrees = torch.rad2deg(moves.angle_rad)
    assert degrees.abs().max() <= 5
    assert degrees.std() == pytest.approx(5 / math.sqrt(3), rel=0.02)
    assert not make_params(50, 3, AugmentationConfig(mirror=False), 1.0, torch.Generator()).mirror.any()
