"""The one way from a folder to a prepared cohort: what the check finds is said once, and decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from branchpoint.config import DatasetConfig
from branchpoint.datasets.pipeline import checked_cohort
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.problems.problem import CohortError
from tests.datasets import release_builder
from tests.datasets.damages import PID
from tests.datasets.release_builder import FOLDS, IDS, Release


def checked(release: Release, cache: Path, *, without_faulty: bool = False) -> tuple[PreparedCohort, tuple[str, ...]]:
    dataset = replace(release.config, size_voxels=(8, 8, 8), spacing_mm=12.0)
    return checked_cohort(dataset, cache, folds=FOLDS, without_faulty=without_faulty)


def test_warnings_are_printed_and_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = release_builder.hecktor(tmp_path / "release")
    release.cell("clinical", PID, "Age", "old")
    prepared, excluded = checked(release, tmp_path / "cache")
    assert (prepared.patient_ids, excluded) == (IDS, ())
    assert capsys.readouterr().out.count("old") == 1


def test_errors_are_in_the_exception_alone_and_nothing_is_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = release_builder.hecktor(tmp_path / "release")
    release.cell("endpoint", PID, "Progression", "perhaps")
    with pytest.raises(CohortError, match="perhaps"):
        checked(release, tmp_path / "cache")
    assert "perhaps" not in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_who_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = release_builder.hecktor(tmp_path / "release")
    release.cell("endpoint", PID, "Progression", "perhaps")
    prepared, excluded = checked(release, tmp_path / "cache", without_faulty=True)
    assert excluded == (PID,)
    assert PID not in prepared.patient_ids
    printed = capsys.readouterr().out
    assert printed.count("perhaps") == 1
    assert f"left out as faulty: {PID}" in printed


def test_a_dataset_without_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset\.root is empty: give --data-root"):
        checked_cohort(DatasetConfig(name="hecktor"), tmp_path, folds=FOLDS)
