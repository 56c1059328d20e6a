"""The check of a cohort: everything is read, and what is wrong becomes rows that say what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from branchpoint.config import DatasetConfig
from branchpoint.datasets.checks.identifiers import identifier_problems
from branchpoint.datasets.checks.outcomes import outcome_problems
from branchpoint.datasets.cohort import Cohort
from branchpoint.datasets.preparation.kinds import kind_of
from branchpoint.datasets.problems.acceptance import accept
from branchpoint.datasets.problems.problem import CohortError, Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.registry import reader_of

_COHORT_RULES = (
    "too-few-events",
    "few-events",
    "few-cases",
    "time-unit",
    "no-comparable-pair",
    "few-pairs",
    "one-event-time",
    "constant-target",
)


def check_cohort(
    cohort: Cohort, dataset: DatasetConfig, *, workers: int = 0, progress: bool = False, folds: int = 5
) -> list[Problem]:
    """Every problem of ``cohort``, those of its tables included: rows of the whole cohort first, then by patient.

    Args:
        workers: processes that read files, 0 for one on each core, 1 for this process.
        progress: show a progress bar on the terminal.
        folds: of the cross-validation that the labels must suffice for.
    """
    rows = kind_of(cohort).check(cohort, reader_of(dataset), workers=workers, progress=progress)
    rows += identifier_problems(cohort) + groups_problems(cohort, folds) + outcome_problems(cohort, folds)
    return sorted(accept([*cohort.problems, *rows], cohort.accepted), key=lambda row: row.patient)


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
    kept = tuple(patient for patient in cohort.patients if patient.id not in faulty and patient.subject not in faulty)
    remaining = [row for row in problems if row.patient not in faulty and row.rule not in _COHORT_RULES]
    smaller = dataclasses.replace(cohort, patients=kept)
    if not kept and cohort.patients:
        found = f"all {len(cohort.patients)} patients have errors"
        remaining.append(
            problem("no-patients", "", "", found, expected="patients without errors", fix="correct the errors")
        )
    remaining += accept(outcome_problems(smaller, folds), cohort.accepted)
    left_out = {patient.id for patient in cohort.patients} - {patient.id for patient in kept}
    return dataclasses.replace(smaller, problems=tuple(remaining)), tuple(sorted(faulty | left_out))


def groups_problems(cohort: Cohort, folds: int) -> list[Problem]:
    """A row where groups, which folds keep together, are too few for the folds."""
    groups = {patient.group or patient.id for patient in cohort.patients}
    if all(patient.group is None for patient in cohort.patients) or len(groups) > folds:
        return []
    found = f"{len(groups)} volumes, videos or patients for {folds} folds"
    return [
        problem("too-few-groups", "", "", found, expected=f"at least {folds + 1}, for samples of one stay together")
    ]
