"""Grids, textures and shapes against closed forms."""

import numpy as np
import pytest

from branchpoint.phantoms.canvas import Canvas, Pose
from branchpoint.phantoms.grid import Grid, Texture
from branchpoint.phantoms.shapes import Arch, Capsule, Column, Ellipsoid, mirrored

GRID = Grid.covering((-30.0, -30.0, -30.0), (30.0, 30.0, 30.0), (1.0, 1.0, 1.5))


def volume_ml(shape, pose: Pose = Pose((0.0, 0.0, 0.0))) -> float:  # noqa: B008
    canvas = Canvas(GRID, pose, 1.0, 0.0)
    canvas.paint(shape, 1.0)
    return float(canvas.values.sum()) * GRID.voxel_ml


@pytest.mark.parametrize(
    ("shape", "cubic_mm"),
    [
        (Ellipsoid((1, 2, 3), (10, 12, 14)), 4 / 3 * np.pi * 10 * 12 * 14),
        (Capsule((0, 0, -10), (5, 0, 10), 6), np.pi * 36 * np.hypot(5, 20) + 4 / 3 * np.pi * 216),
        (Column.of([(-20, 0, 8, 5), (20, 0, 8, 5)]), np.pi * 8 * 5 * 40),
        (Arch(0, (15, 15), 4, (-8, 8), 0), np.pi / 2 * (17**2 - 13**2) * 16),
    ],
    ids=["ellipsoid", "capsule", "column", "arch"],
)
def test_painted_volume_is_the_shape_s(shape, cubic_mm: float) -> None:
    assert volume_ml(shape) == pytest.approx(cubic_mm / 1000, rel=0.04)


def test_pose_moves_turns_and_scales_without_cutting() -> None:
    shape = Ellipsoid((4, -3, 2), (9, 6, 7))
    pose = Pose((2.0, -1.0, 3.0), scale=1.1, turn=0.3, lean=(0.05, -0.1))
    assert volume_ml(shape, pose) == pytest.approx(1.1**3 * volume_ml(shape), rel=0.03)


def test_pose_there_and_back() -> None:
    pose = Pose((2.0, -100.0, 300.0), scale=0.9, turn=-0.2, lean=(0.03, -0.08))
    grid = Grid((-5.0, -110.0, 290.0), (2.0, 3.0, 4.0), (4, 5, 6))
    x, y, z = pose.coordinates(grid)
    patient = np.stack([x, y, np.broadcast_to(z, x.shape)], axis=-1)
    gx, gy, gz = grid.axes
    scanner = np.stack(np.meshgrid(gz, gy, gx, indexing="ij")[::-1], axis=-1)
    np.testing.assert_allclose(pose.to_scanner(patient), scanner, atol=1e-3)


def test_capsule_distance_is_exact() -> None:
    capsule = Capsule((0, 0, 0), (10, 0, 0), 2)
    points = np.array([[5, 3, 0], [-3, 4, 0], [13, 0, 4], [5, 0, 1]], dtype=np.float32)
    np.testing.assert_allclose(capsule.distance(*points.T), [1, 3, 3, -1], atol=1e-5)


def test_mirror_image_lies_on_the_other_side() -> None:
    assert mirrored(Ellipsoid((5, 1, 2), (1, 2, 3))).center == (-5, 1, 2)
    assert mirrored(Capsule((5, 1, 2), (6, 1, 2), 3)).end == (-6, 1, 2)


def test_texture_is_one_field_for_every_grid_with_unit_variance() -> None:
    low, high = (-200.0, -200.0, -200.0), (200.0, 200.0, 200.0)
    texture = Texture(np.random.default_rng(0), low, high, (8.0, 8.0, 16.0))
    coarse = Grid(low, (4.0, 4.0, 4.0), (100, 100, 100))
    fine = coarse.part((slice(10, 20), slice(30, 40), slice(50, 60)))
    field = texture.on(coarse)
    assert field.dtype == np.float32
    assert field.std() == pytest.approx(1.0, abs=0.05)
    assert abs(field.mean()) < 0.05
    np.testing.assert_allclose(texture.on(fine), field[10:20, 30:40, 50:60], atol=1e-5)


def test_box_of_a_shape_outside_the_grid_paints_nothing() -> None:
    assert volume_ml(Ellipsoid((200, 0, 0), (5, 5, 5))) == 0.0
