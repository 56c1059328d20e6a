"""HECKTOR's four releases, its real tables, and roots that point somewhere else."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Box, Cohort, MaskLabel, SurvivalLabel
from branchpoint.datasets.readers.registry import read_cohort
from tests.datasets import release_builder
from tests.datasets.release_builder import IDS

RELEASES = ("2020", "2021", "2022", "2025")


def read(root: Path, release: str) -> Cohort:
    return read_cohort(DatasetConfig(name="hecktor", release=release, root=str(root)))


@pytest.mark.parametrize("release", RELEASES)
def test_official_layout(tmp_path: Path, release: str) -> None:
    made = release_builder.hecktor(tmp_path, release)
    cohort = read(tmp_path, release)
    assert cohort.problems == ()
    assert [patient.id for patient in cohort.patients] == list(IDS)
    assert cohort.modalities == ("CT", "PET")
    assert cohort.targets["tumour"] == "segmentation"
    for patient in cohort.patients:
        assert {part: path.resolve() for part, path in patient.images.items()} == {
            part: made.path(patient.id, part) for part in ("CT", "PET")
        }
        mask = patient.labels["tumour"]
        assert isinstance(mask, MaskLabel)
        assert mask.path.resolve() == made.path(patient.id, "tumour")
        assert mask.values == ((1,) if release in ("2020", "2021") else (1, 2))
        assert (patient.box is not None) == (release in ("2020", "2021"))
    first = cohort.patients[0]
    if release == "2020":
        assert cohort.targets == {"tumour": "segmentation"}
        assert first.center == "CHUM"
    else:
        assert cohort.targets == {"tumour": "segmentation", "survival": "survival", "hpv": "classification"}
        assert first.labels["survival"] == SurvivalLabel(310.0, True)
        assert first.labels["hpv"] == 0
        assert first.center == ("CHUM" if release == "2025" else "1")


def test_box_and_clinical_values(tmp_path: Path) -> None:
    release_builder.hecktor(tmp_path, "2021")
    first = read(tmp_path, "2021").patients[0]
    assert first.box == Box((-60.0, -60.0, 110.0), (60.0, 60.0, 210.0))
    assert first.covariates == {
        "center": "1",
        "age": 60.0,
        "weight_kg": None,
        "tnm_edition": 7.0,
        "tobacco": None,
        "hpv": 0.0,
        "t_stage": "T4",
        "sex": "F",
    }


def real_tables() -> Path:
    folder = os.environ.get("BRANCHPOINT_DATA")
    if not folder:
        pytest.skip("BRANCHPOINT_DATA is not set: the real HECKTOR tables are not here")
    return Path(folder) / "hecktor_tables"


@pytest.mark.parametrize(
    ("release", "patients", "labelled", "events", "hpv", "centers"),
    [("2021", 222, 222, 55, 113, 5), ("2022", 524, 488, 96, 340, 7)],
)
def test_real_tables_load(release: str, patients: int, labelled: int, events: int, hpv: int, centers: int) -> None:
    cohort = read(real_tables(), release)
    survival = [label for patient in cohort.patients if (label := patient.labels.get("survival"))]
    assert len(cohort.patients) == patients
    assert len(survival) == labelled
    assert sum(label.event for label in survival if isinstance(label, SurvivalLabel)) == events
    assert sum("hpv" in patient.labels for patient in cohort.patients) == hpv
    assert len({patient.center for patient in cohort.patients}) == centers
    errors = [row for row in cohort.problems if row.severity == "error"]
    assert {row.rule for row in errors} == {"row-without-images"}
    assert [row.patient for row in errors] == [patient.id for patient in cohort.patients]


def test_values_of_a_real_row() -> None:
    patient = {patient.id: patient for patient in read(real_tables(), "2021").patients}["CHGJ007"]
    assert patient.labels == {"survival": SurvivalLabel(310.0, True), "hpv": 1}
    assert patient.covariates == {
        "center": "1",
        "age": 62.0,
        "weight_kg": None,
        "performance_status": None,
        "tnm_edition": 7.0,
        "tobacco": None,
        "alcohol": None,
        "chemotherapy": 1.0,
        "hpv": 1.0,
        "t_stage": "T4",
        "n_stage": "N2b",
        "m_stage": "M0",
        "tnm_group": "IVA",
        "sex": "M",
    }


@pytest.mark.parametrize("release", RELEASES)
def test_root_one_level_too_high(tmp_path: Path, release: str) -> None:
    release_builder.hecktor(tmp_path / "downloads", release)
    cohort = read(tmp_path, release)
    assert (len(cohort.patients), cohort.problems) == (len(IDS), ())


@pytest.mark.parametrize(
    ("release", "folder"), [("2020", "hecktor_nii"), ("2021", "hecktor_nii"), ("2022", "imagesTr"), ("2025", "Task 1")]
)
def test_root_one_level_too_low(tmp_path: Path, release: str, folder: str) -> None:
    release_builder.hecktor(tmp_path, release)
    cohort = read(tmp_path / folder, release)
    assert (len(cohort.patients), cohort.problems) == (len(IDS), ())


def test_wrong_root_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    (tmp_path / "letters").mkdir()
    cohort = read(tmp_path, "2021")
    (row,) = cohort.problems
    assert (row.rule, row.severity, cohort.patients) == ("no-patients", "error", ())
    assert "holiday.jpg, letters/" in row.found
    assert "hecktor_nii/PID_ct.nii.gz" in row.expected


def test_empty_and_absent_root(tmp_path: Path) -> None:
    assert "an empty folder" in read(tmp_path, "2022").problems[0].found
    assert "no such folder" in read(tmp_path / "typo" / "hecktor", "2022").problems[0].found


@pytest.mark.parametrize(("there", "asked"), [("2021", "2022"), ("2022", "2021"), ("2025", "2020")])
def test_other_release_is_named(tmp_path: Path, there: str, asked: str) -> None:
    release_builder.hecktor(tmp_path, there)
    (row,) = read(tmp_path, asked).problems
    assert row.rule == "no-patients"
    assert f"give --release {there}" in row.fix


def test_unknown_release_and_dataset() -> None:
    with pytest.raises(ValueError, match="hecktor has the releases 2020, 2021"):
        read(Path("/anywhere"), "2023")
    with pytest.raises(ValueError, match=r"dataset.name is 'heckler': choose one of 'hecktor', 'sts'"):
        read_cohort(DatasetConfig(name="heckler", root="/anywhere"))
    with pytest.raises(ValueError, match="root is empty"):
        read_cohort(DatasetConfig(name="hecktor"))


def test_two_releases_side_by_side_do_not_mix(tmp_path: Path) -> None:
    release_builder.hecktor(tmp_path / "hecktor2021_train", "2021")
    release_builder.hecktor(tmp_path / "hecktor2022_training", "2022", ids=("MDA-001", "MDA-002"))
    assert [patient.id for patient in read(tmp_path, "2022").patients] == ["MDA-001", "MDA-002"]
    assert read(tmp_path, "2021").problems == ()


def test_test_set_is_left_out(tmp_path: Path) -> None:
    release_builder.hecktor(tmp_path, "2021")
    release_builder.write(tmp_path / "hecktor_nii" / "CHUV001_ct.nii.gz", release_builder.ct(9))
    release_builder.write(tmp_path / "hecktor_nii" / "CHUV001_pt.nii.gz", release_builder.pet(9))
    release_builder.write(tmp_path / "hecktor2021_test" / "hecktor_nii" / "CHUV002_ct.nii.gz", release_builder.ct(9))
    (tmp_path / "hecktor2021_bbox_testing.csv").write_text("PatientID,x1,x2,y1,y2,z1,z2\nCHUV001,0,1,0,1,0,1\n")
    cohort = read(tmp_path, "2021")
    assert [patient.id for patient in cohort.patients] == list(IDS)
    assert cohort.problems == ()


def test_endpoint_is_not_expected_outside_task_2(tmp_path: Path) -> None:
    release = release_builder.hecktor(tmp_path, "2022")
    release.cell("clinical", IDS[0], "Task 2", 0)
    release.write_rows("endpoint", [row for row in release.rows("endpoint") if row[0] != IDS[0]])
    cohort = read(tmp_path, "2022")
    assert cohort.problems == ()
    assert "survival" not in cohort.patients[0].labels


def test_2025_task_folders_hold_copies_and_other_volumes(tmp_path: Path) -> None:
    release = release_builder.hecktor(tmp_path, "2025")
    copy = tmp_path / "Task 2" / IDS[0]
    shutil.copytree(tmp_path / "Task 1" / IDS[0], copy)
    (copy / f"{IDS[0]}.nii.gz").unlink()
    shutil.copy(release.path(IDS[1], "CT"), tmp_path / "Task 1" / IDS[1] / f"{IDS[1]}__CTPlanning.nii.gz")
    shutil.move(tmp_path / "Task 1" / IDS[2], tmp_path / "Task 3" / IDS[2])
    (tmp_path / "Task 3" / IDS[2] / f"{IDS[2]}.nii.gz").unlink()
    cohort = read(tmp_path, "2025")
    assert cohort.problems == ()
    assert cohort.patients[0].images["CT"].resolve() == release.path(IDS[0], "CT")
    assert "tumour" not in cohort.patients[2].labels


def test_uncompressed_files_and_hidden_files(tmp_path: Path) -> None:
    release = release_builder.hecktor(tmp_path, "2021")
    path = release.path(IDS[0], "CT")
    path.unlink()
    release_builder.write(path.with_suffix(""), release_builder.ct(0))
    (path.parent / f"._{path.name}").write_bytes(b"resource fork")
    cohort = read(tmp_path, "2021")
    assert cohort.problems == ()
    assert cohort.patients[0].images["CT"].name == f"{IDS[0]}_ct.nii"


def test_identity_does_not_depend_on_the_root(tmp_path: Path) -> None:
    release_builder.hecktor(tmp_path / "a", "2022")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, second = read(tmp_path / "a", "2022"), read(tmp_path / "b", "2022")
    assert [replace(p, images={}, labels={}) for p in first.patients] == [
        replace(p, images={}, labels={}) for p in second.patients
    ]
