"""STS: its layout, the 32 real patients, and roots that point somewhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.check import check_cohort, refuse_if_faulty
from branchpoint.datasets.cohort import Cohort, MaskLabel, SurvivalLabel
from branchpoint.datasets.readers import sts
from branchpoint.datasets.readers.registry import read_cohort
from tests.datasets import release_builder
from tests.datasets.release_builder import STS_IDS


def read(root: Path) -> Cohort:
    return read_cohort(DatasetConfig(name="sts", root=str(root)))


def real_root() -> Path:
    folder = os.environ.get("BRANCHPOINT_DATA")
    if not folder:
        pytest.skip("BRANCHPOINT_DATA is not set: the real STS patients are not here")
    return Path(folder) / "sts"


def test_layout(tmp_path: Path) -> None:
    release = release_builder.sts(tmp_path)
    cohort = read(tmp_path)
    assert [patient.id for patient in cohort.patients] == list(STS_IDS)
    first, second = cohort.patients[:2]
    assert first.labels == {
        "tumour": MaskLabel(release.path(STS_IDS[0], "tumour")),
        "recurrence": SurvivalLabel(310.0, True),
        "overall_survival": SurvivalLabel(410.0, True),
        "lung_metastasis": 0,
        "grade": 2,
    }
    assert second.labels["recurrence"] == SurvivalLabel(2137.0, False)
    assert "grade" not in cohort.patients[4].labels
    assert sts.pet_mask(first) == MaskLabel(release.path(STS_IDS[0], "tumour (PET)"))
    assert first.covariates["radiotherapy"] == 1.0
    assert first.covariates["chemotherapy"] == 0.0


def test_real_patients() -> None:
    cohort = read(real_root())
    assert len(cohort.patients) == 32
    assert cohort.problems == ()
    events = {
        target: sum(label.event for p in cohort.patients if isinstance(label := p.labels[target], SurvivalLabel))
        for target in ("recurrence", "overall_survival")
    }
    assert events == {"recurrence": 17, "overall_survival": 10}
    assert sum(patient.labels["lung_metastasis"] == 1 for patient in cohort.patients) == 10
    assert sum("grade" not in patient.labels for patient in cohort.patients) == 2


def test_real_patients_pass_the_check() -> None:
    dataset = DatasetConfig(name="sts", root=str(real_root()))
    rows = check_cohort(read_cohort(dataset), dataset)
    refuse_if_faulty(rows)
    assert [(row.rule, row.task) for row in rows] == [("few-cases", "grade")]


def test_root_one_level_too_high(tmp_path: Path) -> None:
    release_builder.sts(tmp_path / "tcia")
    assert len(read(tmp_path).patients) == len(STS_IDS)
    assert read(tmp_path).problems == ()


def test_root_one_level_too_low_names_the_right_one(tmp_path: Path) -> None:
    release_builder.sts(tmp_path)
    (row,) = read(tmp_path / STS_IDS[0]).problems
    assert (row.rule, row.fix) == ("no-patients", f"point --root to {tmp_path}")


def test_empty_root(tmp_path: Path) -> None:
    (row,) = read(tmp_path).problems
    assert "an empty folder" in row.found
    assert "clinical_sts.csv" in row.expected


def test_lost_table_and_lost_columns(tmp_path: Path) -> None:
    release = release_builder.sts(tmp_path)
    rows = release.rows("clinical")
    rows[0] = [
        "Status" if name.startswith("Status") else f"x{name}" if "LungMets" in name else name for name in rows[0]
    ]
    release.write_rows("clinical", rows)
    assert [(row.rule, "lungmets" in row.found) for row in read(tmp_path).problems] == [("missing-column", True)]
    release.tables["clinical"].unlink()
    assert [row.rule for row in read(tmp_path).problems] == ["missing-table"]
    assert "tumour" in read(tmp_path).patients[0].labels


def test_two_copies_are_named(tmp_path: Path) -> None:
    release = release_builder.sts(tmp_path)
    copy = tmp_path / "old" / STS_IDS[0] / "CT_image.nii.gz"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(release.path(STS_IDS[0], "CT").read_bytes())
    assert [(row.rule, row.patient) for row in read(tmp_path).problems] == [("duplicate-patient", STS_IDS[0])]
