"""Grids in physical space, and the NIfTI faults that SimpleITK does not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.datasets.checks.headers import nifti_faults
from branchpoint.datasets.preparation.volume_files import Grid, grid_of, read_image

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FINITE = st.floats(-500, 500)


def rotation(angle: float) -> tuple[float, ...]:
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return (cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0)


@given(
    st.tuples(*[st.floats(0.2, 10)] * 3),
    st.tuples(*[FINITE] * 3),
    st.floats(-3, 3),
    st.tuples(*[st.integers(0, 9)] * 3),
)
def test_points_agree_with_simpleitk(
    spacing: tuple[float, ...], origin: tuple[float, ...], angle: float, index: tuple[int, ...]
) -> None:
    image = sitk.Image([10, 10, 10], sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(rotation(angle))
    point = grid_of(image).to_mm(np.array([index]))[0]
    assert np.allclose(point, image.TransformIndexToPhysicalPoint(index), atol=1e-9)


def test_bounds_are_the_outer_faces() -> None:
    grid = Grid((10, 20, 5), (1.0, 2.0, 4.0), (100.0, 0.0, -8.0), IDENTITY)
    assert grid.bounds_mm().tolist() == [[99.5, -1.0, -10.0], [109.5, 39.0, 10.0]]
    inner = grid.bounds_mm(np.array([1, 1, 1]), np.array([1, 2, 1]))
    assert inner.tolist() == [[100.5, 1.0, -6.0], [101.5, 5.0, -2.0]]


def test_flipped_bounds_are_those_of_the_same_volume() -> None:
    grid = Grid((10, 20, 5), (1.0, 2.0, 4.0), (0.0, 0.0, 0.0), IDENTITY)
    flipped = Grid((10, 20, 5), (1.0, 2.0, 4.0), (9.0, 38.0, 0.0), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    assert np.array_equal(grid.bounds_mm(), flipped.bounds_mm())
    assert not flipped.is_oblique
    assert not flipped.same_as(grid)


@pytest.mark.parametrize(
    ("grid", "same"),
    [
        (Grid((100, 100, 50), (1.0, 1.0, 3.0), (0.0, 0.0, 0.05), IDENTITY), True),
        (Grid((100, 100, 50), (1.0, 1.0, 3.0), (0.0, 0.0, 1.0), IDENTITY), False),
        (Grid((100, 100, 50), (1.0, 1.0, 3.01), (0.0, 0.0, 0.0), IDENTITY), False),
        (Grid((100, 100, 51), (1.0, 1.0, 3.0), (0.0, 0.0, 0.0), IDENTITY), False),
        (Grid((100, 100, 50), (1.0, 1.0, 3.0), (0.0, 0.0, 0.0), rotation(0.01)), False),
    ],
    ids=["rounded header", "shifted", "spacing adds up", "one slice more", "tilted"],
)
def test_same_grid(grid: Grid, same: bool) -> None:
    assert grid.same_as(Grid((100, 100, 50), (1.0, 1.0, 3.0), (0.0, 0.0, 0.0), IDENTITY)) is same


def test_read_image_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lost\.nii\.gz: no such file"):
        read_image(tmp_path / "lost.nii.gz")
    (tmp_path / "text.nii.gz").write_text("no volume" * 50)
    with pytest.raises(ValueError, match=r"text\.nii\.gz: SimpleITK cannot read it"):
        read_image(tmp_path / "text.nii.gz")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kept", [0, 10, 347, 500, 3000])
def test_every_cut_is_found(tmp_path: Path, name: str, kept: int) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(9, 9, 9)))
    sitk.WriteImage(image, str(tmp_path / name))
    assert nifti_faults(tmp_path / name) == []
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:kept])
    (fault,) = nifti_faults(tmp_path / name)
    assert fault.rule == "truncated-file"


@given(st.binary(min_size=348, max_size=700))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nii"
        path.write_bytes(b"\x5c\x01\x00\x00" + data)
        assert len(nifti_faults(path)) <= 3
