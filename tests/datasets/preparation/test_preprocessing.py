"""One patient on its window: units, padding, outlines, and messages that name what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Box, MaskLabel, Patient
from branchpoint.datasets.preparation.preparation import Prepared
from tests.datasets.scans import ball, scan, toy_dataset, volume_preparation, write, write_patient

MODALITIES = ("CT", "PET")


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return write_patient(tmp_path, "P01", 1)


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetConfig:
    return toy_dataset(tmp_path)


def preprocess(
    patient: Patient, dataset: DatasetConfig, modalities: Sequence[str], targets: Sequence[str] = (), **cohort: float
) -> Prepared:
    return volume_preparation(dataset, modalities, **cohort).prepare(patient, targets)


def in_units(prepared: Prepared, channel: int) -> np.ndarray:
    return prepared.image[channel].astype(np.float32) * prepared.scale[channel] + prepared.offset[channel]


def test_units_come_back(patient: Patient, dataset: DatasetConfig) -> None:
    fine = replace(dataset, spacing_mm=2.5, size_voxels=(32, 32, 32))
    prepared = preprocess(patient, fine, MODALITIES, ["tumour"])
    hounsfield, suv = in_units(prepared, 0), in_units(prepared, 1)
    assert hounsfield[12:20, 12:20, 12:20].mean() == pytest.approx(40, abs=2)
    assert hounsfield[0, 0, 0] == pytest.approx(-1000, abs=30)
    tumour = prepared.masks[0] > 0
    assert np.median(suv[tumour]) == pytest.approx(6.8, abs=0.7)
    assert suv[~tumour & (hounsfield > 0)].mean() == pytest.approx(1.0, abs=0.4)
    assert prepared.image.dtype == np.float16


def test_intensities_are_normalised_as_published(patient: Patient, dataset: DatasetConfig) -> None:
    prepared = preprocess(patient, dataset, MODALITIES, ["tumour"])
    assert prepared.image[0].min() >= -1
    assert prepared.image[0].max() <= 1
    assert prepared.image[1].mean(dtype=np.float64) == pytest.approx(0, abs=1e-4)
    assert prepared.image[1].std(dtype=np.float64) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(prepared.background * prepared.scale + prepared.offset, [-1024, 0], atol=1e-4)


def test_padding_is_background_and_not_part_of_the_statistics(patient: Patient, dataset: DatasetConfig) -> None:
    wide = preprocess(patient, replace(dataset, size_voxels=(40, 40, 40)), MODALITIES, ["tumour"])
    stored = wide.background.astype(np.float16)
    assert (stored == wide.image[:, :8].reshape(2, -1).T).all()
    covered = wide.image[1] != stored[1]
    fitting = preprocess(patient, dataset, MODALITIES, ["tumour"])
    assert wide.scale[1] == pytest.approx(fitting.scale[1], rel=0.1)
    assert covered.sum() < 18**3


def test_outline_volume(patient: Patient, dataset: DatasetConfig) -> None:
    prepared = preprocess(patient, replace(dataset, spacing_mm=2.0, size_voxels=(40, 40, 40)), MODALITIES, ["tumour"])
    truth = 4 / 3 * math.pi * 9**3 / 1000
    assert prepared.mask_ml["tumour"] == pytest.approx(truth, rel=0.05)
    assert prepared.kept_ml["tumour"] == pytest.approx(truth, rel=0.05)
    assert prepared.lost_mask["tumour"] == 0
    assert prepared.masks.shape == (1, 40, 40, 40)


def test_what_the_window_cuts_off_an_outline_is_counted(patient: Patient, dataset: DatasetConfig) -> None:
    centre = np.random.default_rng(1).uniform(-8, 8, 3)
    box = Box(tuple(centre - 40), tuple(centre + np.array([0, 40, 40])))
    half = preprocess(replace(patient, box=box), replace(dataset, size_voxels=(16, 16, 8)), MODALITIES, ["tumour"])
    assert half.lost_mask["tumour"] == pytest.approx(0.5, abs=0.12)
    assert half.kept_ml["tumour"] == pytest.approx(half.mask_ml["tumour"] / 2, rel=0.3)


def test_the_margin_is_more_of_the_same_scan(patient: Patient, dataset: DatasetConfig) -> None:
    """A larger window with the same centre shows the same voxels; what is normalised by stays that of the window."""
    preparation = volume_preparation(replace(dataset, margin_mm=10.0), MODALITIES)
    assert preparation.margin_voxels == (2, 2, 2)
    plain = preparation.prepare(patient, ["tumour"])
    kept = preparation.prepare(patient, ["tumour"], with_margin=True)
    wide = preprocess(patient, replace(dataset, size_voxels=(20, 20, 20)), MODALITIES, ["tumour"])
    assert kept.image.shape == (2, 20, 20, 20)
    assert (kept.image[:, 2:-2, 2:-2, 2:-2] == plain.image).all()
    assert (kept.masks == wide.masks).all()
    np.testing.assert_allclose(in_units(kept, 1), in_units(wide, 1), atol=0.01)
    assert (kept.offset == plain.offset).all()
    assert kept.kept_ml == plain.kept_ml
    assert kept.placement == plain.placement
    inputs = kept.inputs(preparation.voxel_ml)
    for name, value in plain.inputs(preparation.voxel_ml).items():
        assert (inputs[name] == value).all()


def test_what_may_be_cut_is_known(patient: Patient, dataset: DatasetConfig) -> None:
    unboxed = replace(patient, box=None)
    preparation = volume_preparation(replace(dataset, margin_mm=5.0), MODALITIES, cut_margins_mm=20.0)
    assert preparation.margin_voxels == (3, 3, 3)
    cuts = preparation.prepare(unboxed, ["tumour"], with_margin=True).cuts
    assert cuts is not None
    assert cuts.largest_mm == ((20.0, 20.0),) * 3
    assert cuts.shown == ((3, 19),) * 3  # a crop of 80 mm in a window of 80 mm with 15 mm around it
    assert preparation.prepare(patient, ["tumour"]).cuts is None  # a published box is no crop


def test_values_become_classes(patient: Patient, dataset: DatasetConfig, tmp_path: Path) -> None:
    def two(points: np.ndarray) -> np.ndarray:
        return np.where(ball((-15, 0, 0), 10)(points) > 0, 2, np.where(ball((15, 0, 0), 10)(points) > 0, 5, 0))

    path = write(scan(two, dtype=np.uint8), tmp_path / "classes.nii.gz")
    both = replace(patient, labels={"gtv": MaskLabel(path, values=(5, 2)), "only": MaskLabel(path, values=(2,))})
    prepared = preprocess(both, dataset, MODALITIES, ["gtv", "only", "absent"])
    assert prepared.masks[0, 8, 8, 5] == 2
    assert prepared.masks[0, 8, 8, 10] == 1
    assert (prepared.masks[1] == (prepared.masks[0] == 2)).all()
    assert not prepared.masks[2].any()
    assert set(prepared.mask_ml) == {"gtv", "only"}


def test_the_outline_does_not_change_the_image(patient: Patient, dataset: DatasetConfig) -> None:
    with_outline = preprocess(patient, dataset, MODALITIES, ["tumour"])
    without = preprocess(replace(patient, labels={}), dataset, MODALITIES, ["tumour"])
    assert (with_outline.image == without.image).all()
    assert not without.masks.any()
    assert without.lost_mask == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [(math.nan, r"patient P01, PET: .*bad.mha: 64000 voxels are NaN"), (3.0, r"P01, PET: .*bad.mha: is 3.0 through")],
)
def test_unusable_values_are_named(
    patient: Patient, dataset: DatasetConfig, tmp_path: Path, value: float, message: str
) -> None:
    """Not NIfTI: its reader turns NaN into 0 without a word."""
    path = write(scan(lambda points: np.full(points.shape[:-1], value)), tmp_path / "bad.mha")
    with pytest.raises(ValueError, match=message):
        preprocess(replace(patient, images={**patient.images, "PET": path}), dataset, MODALITIES)


def test_unusable_patients_are_named(patient: Patient, dataset: DatasetConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="patient P01 has no MR image"):
        preprocess(patient, dataset, ("CT", "MR"))
    elsewhere = replace(patient, box=Box((900.0, 900.0, 900.0), (950.0, 950.0, 950.0)))
    with pytest.raises(ValueError, match=r"patient P01, CT: .*CT.nii.gz: does not meet the patient's window"):
        preprocess(elsewhere, dataset, MODALITIES)
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    broken = replace(patient, images={**patient.images, "CT": tmp_path / "broken.nii.gz"})
    with pytest.raises(ValueError, match=r"patient P01, CT: .*broken.nii.gz"):
        preprocess(broken, dataset, MODALITIES)
    with pytest.raises(ValueError, match=r"size_voxels is \(16, 16\)"):
        preprocess(patient, replace(dataset, size_voxels=(16, 16)), MODALITIES)
