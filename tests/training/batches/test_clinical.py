"""Stages and grades as numbers."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest

from branchpoint.training.batches import clinical_values as clinical


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T1", 1),
        ("T4a", 4),
        ("N2b", 2),
        ("N0", 0),
        ("Tis", 0),
        ("pT3", 3),
        ("IVA", 4),
        ("IV", 4),
        ("III", 3),
        ("II", 2),
        ("I", 1),
        ("Stage IVc", 4),
        ("stage 2", 2),
        ("G3", 3),
        ("Low", 1),
        ("Intermediate", 2),
        ("HIGH", 3),
        ("2", 2),
        (62.0, 62),
        (3, 3),
    ],
)
def test_ordinal(text: str | float, expected: float) -> None:
    assert clinical.ordinal(text) == expected


@pytest.mark.parametrize("text", [None, "", "TX", "Nx", "unknown", "V", "x2y", float("nan")])
def test_what_is_not_understood_is_missing(text: str | float | None) -> None:
    assert math.isnan(clinical.ordinal(text))


def test_columns_prefer_t_and_n_to_their_group() -> None:
    both = [
        {"age": 50.0, "t_stage": "T1", "n_stage": "N0", "tnm_group": "I"},
        {"age": 61.0, "t_stage": "T2", "n_stage": "N1", "tnm_group": "III"},
    ]
    assert clinical.columns(both) == ("age", "t_stage", "n_stage")
    group = [{"tnm_group": "I"}, {"tnm_group": "IVA"}]
    assert clinical.columns(group) == ("tnm_group",)
    assert clinical.columns([{"age": 1.0, "grade": "Low"}, {"age": 2.0, "grade": "High"}]) == ("age", "grade")


def test_constant_missing_and_excluded_columns_are_left_out() -> None:
    patients = [
        {"age": 50.0, "grade": "Low", "t_stage": "T1", "n_stage": None, "tnm_group": "I"},
        {"age": 50.0, "grade": "High", "t_stage": "T1", "n_stage": None, "tnm_group": "II"},
    ]
    assert clinical.columns(patients) == ("tnm_group", "grade")
    assert clinical.columns(patients, without="grade") == ("tnm_group",)
    assert clinical.columns([]) == ()
    assert clinical.matrix([], ("age",)).shape == (0, 1)


@pytest.mark.skipif(not os.environ.get("BRANCHPOINT_DATA"), reason="BRANCHPOINT_DATA is not set: the tables are there")
def test_every_real_stage_and_grade_is_understood() -> None:
    root = Path(os.environ["BRANCHPOINT_DATA"])
    for table, names in {
        "hecktor_tables/hecktor2021_patient_info_training.csv": ("Age", "T-stage", "N-stage", "TNM group"),
        "sts/clinical_sts.csv": ("Age", "Grade"),
    }.items():
        with (root / table).open() as file:
            rows = list(csv.DictReader(file))
        values = clinical.matrix(rows, names)
        assert len(values) > 30
        for name, column in zip(names, values.T, strict=True):
            missing = [row[name] for row, value in zip(rows, column, strict=True) if np.isnan(value)]
            assert set(missing) <= {"", "N/A"}, name
