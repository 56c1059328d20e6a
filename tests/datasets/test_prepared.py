"""The cohort that every trial opens."""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Box
from branchpoint.datasets.preparation.kinds import preparation_of
from branchpoint.datasets.prepared import PreparedCohort, prepare
from tests.datasets.scans import toy_dataset, write_cohort


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    root = tmp_path_factory.mktemp("toy")
    return prepare(write_cohort(root / "raw", 4), toy_dataset(root), root / "cache", workers=2, progress=False)


def test_what_is_known_without_voxels(prepared: PreparedCohort) -> None:
    assert prepared.patient_ids == ("P00", "P01", "P02", "P03")
    assert (prepared.name, prepared.release, prepared.modalities) == ("toy", "1", ("CT", "PET"))
    assert (prepared.spacing_mm, prepared.size_voxels) == (5.0, (16, 16, 16))
    np.testing.assert_array_equal(prepared.labels["survival"], [[100, 1], [101, 0], [102, 1], [103, 0]])
    np.testing.assert_array_equal(prepared.labels["grade"], [0, 1, 0, 0])
    np.testing.assert_array_equal(prepared.labelled["grade"], [False, True, True, False])
    np.testing.assert_array_equal(prepared.labelled["tumour"], [True, True, True, False])
    assert "tumour" not in prepared.labels
    assert prepared.centers == ["C0", "C1", "C0", "C1"]
    assert prepared.covariates[1] == {"age": 51.0, "sex": None}
    np.testing.assert_allclose(prepared.mask_ml["tumour"], [3.05, 3.05, 3.05, np.nan], rtol=0.05)
    assert prepared.lost_mask["tumour"][0] == 0


def test_a_batch_is_what_preprocessing_gives(prepared: PreparedCohort, tmp_path: Path) -> None:
    cohort, dataset = write_cohort(tmp_path, 4), toy_dataset(tmp_path)
    batch = prepared.batch([2, 0])
    assert batch.index.tolist() == [2, 0]
    for row, index in enumerate([2, 0]):
        truth = preparation_of(cohort, dataset).prepare(cohort.patients[index], ["tumour"])
        for name, value in truth.inputs(prepared.preparation.voxel_ml).items():
            np.testing.assert_array_equal(batch.inputs[name][row], value[0])
        np.testing.assert_array_equal(batch.targets["tumour"][row], truth.masks)
        np.testing.assert_allclose(batch.inputs["intensity_offset"][row], truth.offset, rtol=1e-6)
        np.testing.assert_allclose(batch.inputs["intensity_scale"][row], truth.scale, rtol=1e-6)
        np.testing.assert_allclose(batch.inputs["intensity_background"][row], truth.background, rtol=1e-6)
        assert prepared.placement(index) == truth.placement
    assert batch.inputs["voxel_ml"].tolist() == [0.125, 0.125]


def test_types_and_missing_labels_of_a_batch(prepared: PreparedCohort) -> None:
    batch = prepared.batch(np.array([0, 1, 3]))
    assert batch.inputs["image"].shape == (3, 2, 16, 16, 16)
    assert batch.inputs["image"].dtype == torch.float32
    assert batch.targets["tumour"].dtype == torch.uint8
    assert batch.targets["tumour"].shape == (3, 1, 16, 16, 16)
    assert batch.targets["survival"].dtype == torch.float32
    assert batch.targets["grade"].dtype == torch.int64
    assert batch.targets["grade"].tolist() == [0, 1, 0]
    assert batch.labelled["grade"].tolist() == [False, True, False]
    assert batch.labelled["tumour"].tolist() == [True, True, False]
    assert not batch.targets["tumour"][2].any()
    assert len(prepared.batch([])) == 0


def test_opening_again_gives_the_same(prepared: PreparedCohort) -> None:
    again = PreparedCohort.open(prepared.path)
    assert again.patient_ids == prepared.patient_ids
    assert (again.batch([1]).inputs["image"] == prepared.batch([1]).inputs["image"]).all()


def test_a_batch_can_be_changed_without_changing_the_cache(prepared: PreparedCohort) -> None:
    before = prepared.batch([1]).inputs["image"].clone()
    prepared.batch([1]).inputs["image"].zero_()
    assert (prepared.batch([1]).inputs["image"] == before).all()


def test_no_file_stays_open(prepared: PreparedCohort) -> None:
    count = len(os.listdir("/proc/self/fd"))
    batches = [prepared.batch([0, 1, 2]) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) <= count
    assert len(batches) == 5


def test_a_cache_can_be_moved(prepared: PreparedCohort, tmp_path: Path) -> None:
    shutil.copytree(prepared.path.parent.parent, tmp_path / "moved")
    moved = PreparedCohort.open(tmp_path / "moved" / "cohorts" / prepared.path.name)
    assert (moved.batch([0]).inputs["image"] == prepared.batch([0]).inputs["image"]).all()
    volume = next((tmp_path / "moved" / "volumes").glob("*/*/image.npy"))
    volume.unlink()
    with pytest.raises(ValueError, match=r"patient P0\d: .*image.npy.*prepare again"):
        moved.batch(range(4))


def test_the_manifest_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = prepare(write_cohort(tmp_path / "raw", 1), toy_dataset(tmp_path), Path("cache"), progress=False).path
    monkeypatch.chdir("/")
    assert len(PreparedCohort.open(path).batch([0])) == 1


def test_no_manifest() -> None:
    with pytest.raises(ValueError, match="no manifest of a prepared cohort"):
        PreparedCohort.open(Path("nowhere.json"))


def test_excluded_patients_are_left_out_and_recorded(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "raw", 2)
    rest = prepare(cohort, toy_dataset(tmp_path), tmp_path / "cache", excluded=["P00"], progress=False)
    assert rest.patient_ids == ("P01",)
    assert rest.excluded == ("P00",)
    with pytest.raises(ValueError, match="no patients left"):
        prepare(cohort, toy_dataset(tmp_path), tmp_path / "cache", excluded=["P00", "P01"])


def test_all_failures_are_named_at_once(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "raw", 3)
    for name in ("P00", "P02"):
        (tmp_path / "raw" / name / "PET.nii.gz").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"2 patient\(s\) could not be .*:\n.*P00, PET: .*\n.*P02, PET: .*PET.nii.gz"):
        prepare(cohort, toy_dataset(tmp_path), tmp_path / "cache", progress=False)
    assert len(list((tmp_path / "cache" / "volumes").glob("*/*"))) == 1
    (tmp_path / "raw" / "P00" / "PET.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"PET.nii.gz: No such file or directory; restore it"):
        prepare(cohort, toy_dataset(tmp_path), tmp_path / "cache", progress=False)


def test_lost_outlines_are_warned_of(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "raw", 2)
    aside = replace(cohort, patients=tuple(replace(p, box=Box((0, -40, -40), (40, 40, 40))) for p in cohort.patients))
    with pytest.warns(UserWarning, match=r"windows of 16 x 16 x 8 voxels of 5 mm: P00 tumour \d+%"):
        prepare(aside, toy_dataset(tmp_path, size_voxels=(16, 16, 8)), tmp_path / "cache", progress=False)


def test_progress_is_one_line_where_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cohort = write_cohort(tmp_path / "raw", 2)
    prepare(cohort, toy_dataset(tmp_path), tmp_path / "cache")
    assert capsys.readouterr().err.startswith("Prepared 2 of 2 patients in ")
    prepare(cohort, toy_dataset(tmp_path), tmp_path / "cache")
    assert capsys.readouterr() == ("", "")


def test_real_patients(tmp_path: Path) -> None:
    """Two patients of STS, CT 0.98 x 0.98 x 3.27 mm and PET 4.69 x 4.69 x 3.27 mm, end to end."""
    from branchpoint.datasets.readers.registry import read_cohort

    root = Path(os.environ.get("BRANCHPOINT_DATA", "")) / "sts"
    if not os.environ.get("BRANCHPOINT_DATA") or not root.is_dir():
        pytest.skip("needs the STS release in the folder named by BRANCHPOINT_DATA")
    dataset = DatasetConfig(name="sts", release="", root=str(root), spacing_mm=5.0, size_voxels=(48, 48, 48))
    cohort = read_cohort(dataset)
    two = replace(cohort, patients=tuple(p for p in cohort.patients if p.id in ("STS_001", "STS_008")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared = prepare(two, dataset, tmp_path, workers=1, progress=False)
    batch = prepared.batch([0, 1])
    units = [batch.inputs[f"intensity_{name}"][..., None, None, None] for name in ("scale", "offset")]
    hounsfield, suv = (batch.inputs["image"] * units[0] + units[1]).unbind(1)
    tumour = batch.targets["tumour"][:, 0] > 0
    np.testing.assert_allclose(tumour.sum((1, 2, 3)) * 0.125, prepared.mask_ml["tumour"], rtol=0.05)
    for patient in range(2):
        assert 0 < hounsfield[patient][tumour[patient]].median() < 80
        inside, outside = suv[patient][tumour[patient]].mean(), suv[patient][~tumour[patient]].mean()
        assert inside > 1.5 * outside
    assert (prepared.lost_mask["tumour"] == 0).all()
