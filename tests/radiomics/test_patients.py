"""From files to features: resampling, outlines that are missing or small, and real sarcomas."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import MaskLabel, Patient
from branchpoint.datasets.preparation.grid import Window
from branchpoint.radiomics.patients import measure_patients, outline_in, true_outline


def write(path: Path, array: np.ndarray, spacing: tuple[float, float, float], origin: float = 0.0) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin([origin] * 3)
    sitk.WriteImage(image, path)
    return path


def patient(folder: Path, name: str, radius_mm: float) -> Patient:
    """A ball in CT of 1 mm and PET of 4 mm, whose intensities rise by 1 HU and SUV 0.1 for each millimetre in x."""
    z, y, x = np.indices((40, 40, 40)).astype(np.float32)
    mask = ((z - 20) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 <= radius_mm**2).astype(np.uint8)
    pet = np.broadcast_to(np.arange(12, dtype=np.float32) * 4 * 0.1, (12, 12, 12)).copy()
    return Patient(
        id=name,
        images={
            "CT": write(folder / f"{name}_ct.nii", x, (1, 1, 1)),
            "PET": write(folder / f"{name}_pet.nii", pet, (4, 4, 4)),
        },
        labels={"tumour": MaskLabel(write(folder / f"{name}_mask.nii", mask, (1, 1, 1)))},
    )


def test_features_are_those_of_the_scan_in_its_own_units(tmp_path: Path) -> None:
    patients = [patient(tmp_path, "big", 12), patient(tmp_path, "small", 1)]
    nothing = Patient(id="none", images=patients[0].images)
    table = measure_patients([*patients, nothing], ("CT", "PET"), true_outline("tumour"), workers=2)
    values = dict(zip(table.names, table.values[0], strict=True))
    assert values["shape_VoxelVolume"] == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.04)
    assert values["CT_firstorder_Mean"] == pytest.approx(20, abs=0.5)
    assert values["PET_firstorder_Mean"] == pytest.approx(2.0, abs=0.05)
    assert values["CT_firstorder_Range"] == pytest.approx(10 * values["PET_firstorder_Range"], rel=0.02)
    assert table.known.tolist() == [True, False, False]
    assert np.isnan(table.values[1:]).all()
    assert [note.split(":")[0] for note in table.notes] == ["patient small", "patient none"]
    assert "fewer than 8" in table.notes[0]


def test_an_outline_on_another_grid_gives_nearly_the_same(tmp_path: Path) -> None:
    """As a network's mask does, on its own grid of 1.5 mm."""
    one = patient(tmp_path, "big", 12)
    window = Window((-3.0, -3.0, -3.0), 1.5, (32, 32, 32))
    centres = [window.origin_mm[0] + 1.5 * np.arange(32) - 20] * 3
    z, y, x = np.meshgrid(*centres, indexing="ij")
    drawn = outline_in(window, z**2 + y**2 + x**2 <= 12**2)
    true, predicted = (
        measure_patients([one], ("CT", "PET"), outline).values[0]
        for outline in (true_outline("tumour"), lambda _: drawn)
    )
    names = measure_patients([one], ("CT", "PET"), true_outline("tumour")).names
    for name in ("shape_MeshVolume", "CT_firstorder_Mean", "PET_firstorder_90Percentile"):
        column = names.index(name)
        assert predicted[column] == pytest.approx(true[column], rel=0.08), name


def test_an_outline_outside_an_image_is_cut_and_said(tmp_path: Path) -> None:
    one = patient(tmp_path, "big", 12)
    cut = write(tmp_path / "cut.nii", np.ones((20, 40, 40), np.float32) * np.arange(40, dtype=np.float32), (1, 1, 1))
    table = measure_patients(
        [Patient(id="big", images={**one.images, "CT": cut}, labels=one.labels)], ("CT", "PET"), true_outline("tumour")
    )
    assert table.known.all()
    assert "of the outline lies outside an image" in table.notes[0]


def test_nobody_with_features_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no patient has a region of 8 voxels"):
        measure_patients([patient(tmp_path, "small", 1)], ("CT", "PET"), true_outline("tumour"))


def test_real_sarcomas() -> None:
    from branchpoint.datasets.readers.registry import read_cohort

    root = Path(os.environ.get("BRANCHPOINT_DATA", "")) / "sts"
    if not root.is_dir():
        pytest.skip("BRANCHPOINT_DATA names no folder with sts")
    cohort = read_cohort(DatasetConfig(name="sts", root=str(root)))
    table = measure_patients(cohort.patients[1:5:2], cohort.modalities, true_outline("tumour"), workers=2)
    assert table.known.all()
    assert len(table.names) == 274
    values = dict(zip(table.names, table.values.T, strict=True))
    assert (values["PET_firstorder_Maximum"] > 3).all()  # SUVmax of these tumours is between 3.4 and 52.8
    assert (values["CT_firstorder_Median"] < 150).all()
    assert (values["shape_VoxelVolume"] > 10_000).all()
