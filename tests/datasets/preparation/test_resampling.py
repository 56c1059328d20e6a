"""Scans land where they belong, whatever their grid."""

from __future__ import annotations

import math

import numpy as np
import pytest

from branchpoint.datasets.cohort import Box
from branchpoint.datasets.preparation.grid import Window, extent, intersection, resample_linear, resample_nearest
from tests.datasets.scans import DIRECTIONS, IDENTITY, ball, scan

CENTRE = (12.0, -7.0, 21.0)


def window(spacing_mm: float = 2.0, size: tuple[int, int, int] = (20, 24, 28)) -> Window:
    return Window.around(Box((-20.0, -20.0, -10.0), (30.0, 20.0, 44.0)), spacing_mm, size)


def centre_of_mass_mm(values: np.ndarray, where: Window) -> np.ndarray:
    index = np.stack(np.meshgrid(*(np.arange(n) for n in values.shape), indexing="ij"), axis=-1)
    mean = (index * values[..., None]).sum((0, 1, 2)) / values.sum()
    return np.array(where.origin_mm) + mean[::-1] * where.spacing_mm


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_ball_lands_at_its_place(direction: np.ndarray) -> None:
    grid = {"spacing_mm": (1.5, 2.0, 2.5), "centre_mm": (5, 0, 15), "size": (64, 48, 40), "direction": direction}
    values, known = resample_linear(scan(ball(CENTRE, 9), **grid), window())
    outline = resample_nearest(scan(ball(CENTRE, 9, 3), **grid, dtype=np.uint8), window())
    assert np.abs(centre_of_mass_mm(values, window()) - CENTRE).max() < 0.2
    assert np.abs(centre_of_mass_mm(outline, window()) - CENTRE).max() < 0.6
    assert set(np.unique(outline)) == {0, 3}
    volume = (outline > 0).sum() * 8.0
    assert volume == pytest.approx(4 / 3 * math.pi * 9**3, rel=0.03)
    assert known[10, 12, 14]


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
@pytest.mark.parametrize("spacing_mm", [0.9, 4.0])
def test_linear_content_is_recovered(direction: np.ndarray, spacing_mm: float) -> None:
    """Trilinear interpolation and a symmetric smoothing both leave a linear function as it is."""
    slope = np.array([3.0, -2.0, 0.5])
    image = scan(lambda points: points @ slope + 7, size=(60, 60, 60), direction=direction)
    where = Window.around(Box((-8.0, -8.0, -8.0), (8.0, 8.0, 8.0)), spacing_mm, (4, 5, 6))
    values, known = resample_linear(image, where)
    z, y, x = np.meshgrid(*(np.arange(n) for n in where.size_voxels), indexing="ij")
    points = np.array(where.origin_mm) + np.stack([x, y, z], axis=-1) * spacing_mm
    assert known.all()
    np.testing.assert_allclose(values, points @ slope + 7, atol=2e-3)


def test_fine_structure_does_not_alias() -> None:
    """White noise of 1 mm, seen at 4 mm, averages out; interpolation alone would keep most of it."""
    noise = np.random.default_rng(0)
    image = scan(lambda points: noise.normal(100, 10, points.shape[:-1]), size=(64, 64, 64), spacing_mm=(1, 1, 1))
    values, _ = resample_linear(image, Window.around(Box((-16,) * 3, (16,) * 3), 4.0, (8, 8, 8)))
    assert values.mean() == pytest.approx(100, abs=0.5)
    assert values.std() < 2


def test_what_the_scan_does_not_cover_is_known() -> None:
    image = scan(lambda points: np.full(points.shape[:-1], 5.0), size=(10, 10, 10), spacing_mm=(2, 2, 2))
    where = Window.around(Box((0.0, -10.0, -10.0), (20.0, 10.0, 10.0)), 2.0, (10, 10, 10))
    values, known = resample_linear(image, where)
    assert known[:, :, :5].all()
    assert not known[:, :, 5:].any()
    assert (values[known] == 5).all()
    assert (values[~known] == 0).all()


def test_a_window_beside_the_scan_is_empty() -> None:
    image = scan(lambda points: np.ones(points.shape[:-1]))
    _, known = resample_linear(image, Window.around(Box((500.0, 0.0, 0.0), (520.0, 20.0, 20.0)), 2.0, (10, 10, 10)))
    assert not known.any()


def test_values_that_are_not_finite_are_refused() -> None:
    image = scan(lambda points: np.where(points[..., 0] > 30, np.nan, 1.0))
    with pytest.raises(ValueError, match=r"\d+ voxels are NaN or infinite"):
        resample_linear(image, Window.around(extent(image), 4.0, (20, 20, 20)))


def test_window_is_centred_on_its_box() -> None:
    where = Window.around(Box((10.0, 20.0, 30.0), (30.0, 60.0, 90.0)), 2.5, (8, 12, 16))
    assert where.box == Box((0.0, 25.0, 50.0), (40.0, 55.0, 70.0))
    assert where.origin_mm == (1.25, 26.25, 51.25)


def test_extents() -> None:
    image = scan(ball((0, 0, 0), 1), size=(10, 20, 30), spacing_mm=(1, 2, 3), direction=DIRECTIONS["flipped"])
    assert extent(image) == Box((-5.0, -20.0, -45.0), (5.0, 20.0, 45.0))
    assert extent(scan(ball((0, 0, 0), 1), size=(10, 20, 30), direction=IDENTITY)) == Box((-10, -20, -30), (10, 20, 30))
    both = intersection([Box((0, 0, 0), (9, 9, 9)), Box((-1, 2, 3), (5, 20, 6))])
    assert both == Box((0, 2, 3), (5, 9, 6))
