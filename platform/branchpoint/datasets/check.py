"""The check of a cohort: everything is read, and what is wrong becomes rows that say what to do."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from branchpoint.config import DatasetConfig
from branchpoint.datasets.checks.geometry import patient_problems
from branchpoint.datasets.checks.image_cohort import distinct_by_group, groups_problems, named, picture_problems
from branchpoint.datasets.checks.inspection import FileJob, FileReport, inspect_files
from branchpoint.datasets.checks.outcomes import outcome_problems
from branchpoint.datasets.cohort import Cohort, MaskLabel, Patient
from branchpoint.datasets.problems.problem import CohortError, Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.registry import Reader, reader_of

_COHORT_RULES = ("too-few-events", "few-events", "few-cases", "time-unit")


def check_cohort(
    cohort: Cohort, dataset: DatasetConfig, *, workers: int = 0, progress: bool = False, folds: int = 5
) -> list[Problem]:
    """Every problem of ``cohort``, those of its tables included: rows of the whole cohort first, then by patient.

    Args:
        workers: processes that read files, 0 for one on each core, 1 for this process.
        progress: show a progress bar on the terminal.
        folds: of the cross-validation that the labels must suffice for.
    """
    reader = reader_of(dataset)
    if cohort.dimensions == 2:
        rows, found_in = picture_problems(cohort, reader, workers=workers, progress=progress)
        rows += duplicates(distinct_by_group(cohort, found_in)) + groups_problems(cohort, folds)
        rows += outcome_problems(cohort, folds)
        return sorted([*cohort.problems, *rows], key=lambda row: row.patient)
    masks = {patient.id: _masks(patient, cohort.release, reader) for patient in cohort.patients}
    jobs = [job for patient in cohort.patients for job in _jobs(patient, masks[patient.id], reader)]
    reports = inspect_files(jobs, workers=workers, progress=progress)
    by_patient: dict[str, dict[str, FileReport]] = defaultdict(dict)
    for report in reports:
        by_patient[report.job.patient][report.job.task] = report
    rows = [*cohort.problems, *(row for report in reports for row in report.problems)]
    for patient in cohort.patients:
        found = by_patient[patient.id]
        images = {modality: found[modality] for modality in patient.images}
        grids = {name: (modality, found[name]) for name, (modality, _) in masks[patient.id].items()}
        rows += patient_problems(patient, images, grids)
    rows += duplicates(reports) + outcome_problems(cohort, folds)
    return sorted(rows, key=lambda row: row.patient)


def errors_among(problems: Sequence[Problem]) -> list[Problem]:
    """Those that refuse training."""
    return [row for row in problems if row.severity == "error"]


def refuse_if_faulty(problems: Sequence[Problem]) -> None:
    """Raise :class:`CohortError` with the errors among ``problems``, if there are any."""
    if errors := errors_among(problems):
        raise CohortError(errors)


def skip_faulty(cohort: Cohort, problems: Sequence[Problem], *, folds: int = 5) -> tuple[Cohort, tuple[str, ...]]:
    """The cohort without the patients that ``problems`` names in errors, and who they are.

    ``problems`` of the new cohort are the rows that remain, with those on numbers of events counted anew: refuse it
    where they hold an error, which then concerns the whole cohort.
    """
    faulty = {row.patient for row in problems if row.severity == "error" and row.patient}
    kept = tuple(patient for patient in cohort.patients if patient.id not in faulty and named(patient) not in faulty)
    remaining = [row for row in problems if row.patient not in faulty and row.rule not in _COHORT_RULES]
    smaller = dataclasses.replace(cohort, patients=kept)
    if not kept and cohort.patients:
        found = f"all {len(cohort.patients)} patients have errors"
        remaining.append(
            problem("no-patients", "", "", found, expected="patients without errors", fix="correct the errors")
        )
    remaining += outcome_problems(smaller, folds)
    left_out = {patient.id for patient in cohort.patients} - {patient.id for patient in kept}
    return dataclasses.replace(smaller, problems=tuple(remaining)), tuple(sorted(faulty | left_out))


def duplicates(reports: Iterable[FileReport]) -> list[Problem]:
    """Images with the same voxels under two names.

    Where all images of two patients are alike, it is one patient twice and the first is kept; where only some are,
    nobody can tell whose they are and all are named.
    """
    images: dict[str, dict[str, str]] = defaultdict(dict)
    for report in reports:
        if report.digest is not None:
            images[report.digest][f"{report.job.patient} {report.job.task}"] = report.job.patient
    contents = _contents(images)
    rows = []
    for owners in images.values():
        names = list(owners)
        for name, patient in owners.items():
            others = [other for other in names if other != name]
            twins = [owner for owner in owners.values() if owner != patient and contents[owner] == contents[patient]]
            is_first_of_twins = bool(twins) and len(twins) == len(others) and patient < min(twins)
            if others and not is_first_of_twins:
                rows.append(
                    problem(
                        "duplicate-images",
                        patient,
                        name.removeprefix(f"{patient} "),
                        f"the same voxels as {', '.join(others)}",
                    )
                )
    return rows


def _contents(images: Mapping[str, Mapping[str, str]]) -> dict[str, frozenset[str]]:
    contents: dict[str, set[str]] = defaultdict(set)
    for digest, owners in images.items():
        for patient in owners.values():
            contents[patient].add(digest)
    return {patient: frozenset(digests) for patient, digests in contents.items()}


def _masks(patient: Patient, release: str, reader: Reader) -> dict[str, tuple[str | None, MaskLabel]]:
    """Label to (modality whose grid it must share, mask), with the masks that are checked though they are no target."""
    grid = reader.mask_grid(release)
    masks = {name: (grid, label) for name, label in patient.labels.items() if isinstance(label, MaskLabel)}
    return {**masks, **reader.extra_masks(patient)}


def _jobs(patient: Patient, masks: Mapping[str, tuple[str | None, MaskLabel]], reader: Reader) -> list[FileJob]:
    images = [
        FileJob(patient.id, modality, path, modality, air_in_view=reader.air_in_view)
        for modality, path in patient.images.items()
    ]
    return images + [FileJob(patient.id, name, label.path, "mask", label.values) for name, (_, label) in masks.items()]
