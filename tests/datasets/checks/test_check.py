"""Each fault gives its own row and no other, for every rule there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.datasets.check import refuse_if_faulty, skip_faulty
from branchpoint.datasets.problems.problem import CohortError
from branchpoint.datasets.problems.rulebook import RULES
from branchpoint.datasets.readers.registry import read_cohort
from tests.datasets import release_builder
from tests.datasets.damages import FILES, PID, PLACES, Damage
from tests.datasets.release_builder import IDS, Release
from tests.datasets.table_damages import TABLES

DAMAGES = (*FILES, *PLACES, *TABLES)


def build(root: Path, release: str) -> Release:
    return release_builder.sts(root) if release == "sts" else release_builder.hecktor(root, release)


@pytest.mark.parametrize("release", ["2020", "2021", "2022", "2025", "sts"])
def test_valid_release_has_no_problem(tmp_path: Path, release: str) -> None:
    assert build(tmp_path, release).check() == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damage_gives_its_row_alone(tmp_path: Path, damage: Damage) -> None:
    release = build(tmp_path, damage.release)
    damage.do(release)
    rows = release.check()
    assert tuple((row.rule, row.patient, row.task) for row in rows) == damage.rows
    assert damage.found in rows[0].found
    assert all(row.severity == RULES[row.rule].severity and row.expected and row.fix for row in rows)


def test_every_rule_is_damaged() -> None:
    # in the tests of the readers, of the processes, of hostile files, and of places and units
    elsewhere = {"no-patients", "reader-crashed", "unusual-file", "unusual-spacing", "bad-units", "bad-scaling"}
    elsewhere |= {"too-large", "pet-units", "doubled-column", "bad-covariate", "default-geometry", "unnamed-ct"}
    shown = {rule for damage in DAMAGES for rule, _, _ in damage.rows} | elsewhere
    assert shown == set(RULES)


def test_label_on_any_grid_since_2022(tmp_path: Path) -> None:
    import SimpleITK as sitk

    release = build(tmp_path, "2022")
    grid = sitk.ReadImage(str(release.path(PID, "PET")))
    nearest = sitk.sitkNearestNeighbor
    release.change(PID, "tumour", lambda picture: sitk.Resample(picture, grid, sitk.Transform(), nearest))
    assert release.check() == []


def test_refuse_names_errors_only(tmp_path: Path) -> None:
    release = build(tmp_path, "2021")
    release.cell("endpoint", PID, "Progression", "perhaps")
    release.cell("clinical", PID, "Age", "old")
    with pytest.raises(CohortError, match="perhaps") as caught:
        refuse_if_faulty(release.check())
    assert [row.rule for row in caught.value.problems] == ["bad-event"]
    refuse_if_faulty([row for row in release.check() if row.severity == "warning"])


def test_skip_leaves_out_the_named_patients(tmp_path: Path) -> None:
    release = build(tmp_path, "2021")
    release.path(PID, "CT").unlink()
    release.cell("clinical", IDS[2], "Age", "old")
    cohort, left_out = skip_faulty(read_cohort(release.config), release.check(), folds=2)
    assert left_out == (PID,)
    assert [patient.id for patient in cohort.patients] == [pid for pid in IDS if pid != PID]
    assert [row.rule for row in cohort.problems] == ["bad-value"]
    refuse_if_faulty(cohort.problems)


def test_skip_counts_events_anew(tmp_path: Path) -> None:
    release = build(tmp_path, "2021")
    for pid in (IDS[0], IDS[2], IDS[3], IDS[4]):
        release.path(pid, "CT").unlink()
    cohort, left_out = skip_faulty(read_cohort(release.config), release.check(), folds=2)
    assert len(left_out) == 4
    with pytest.raises(CohortError, match="too-few-events: found 1 events in 2 patients"):
        refuse_if_faulty(cohort.problems)


def test_skip_of_everybody_is_refused(tmp_path: Path) -> None:
    release = build(tmp_path, "2020")
    for pid in IDS:
        release.path(pid, "CT").unlink()
    cohort, left_out = skip_faulty(read_cohort(release.config), release.check())
    assert (cohort.patients, left_out) == ((), IDS)
    with pytest.raises(CohortError, match="all 6 patients have errors"):
        refuse_if_faulty(cohort.problems)
