"""The parts (training, validation, test) that the table of a user's folder gives its samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from branchpoint.datasets.cohort import Part, Patient
from branchpoint.datasets.files import listed
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.tables import Row, is_missing

_PARTS: dict[str, Part] = {"train": "train", "validation": "validation", "test": "test"}


def read_parts(
    column: str, rows: Mapping[str, Row], patients: Sequence[Patient]
) -> tuple[dict[str, Part], list[Problem]]:
    """The part of each sample that has one, and rows for what the column says wrongly.

    Args:
        column: of the table.
        rows: sample to its row.
        patients: all samples.
    """
    parts: dict[str, Part] = {}
    problems: list[Problem] = []
    of_group: dict[str, Counter[str]] = defaultdict(Counter)
    for patient in patients:
        text = rows.get(patient.id, {}).get(column, "").strip().lower()
        if text in _PARTS:
            parts[patient.id] = _PARTS[text]
            of_group[patient.group or patient.id][text] += 1
        elif not is_missing(text):
            problems.append(problem("bad-part", patient.id, "", f"{column} {text!r}"))
    absent = [part for part in ("train", "test") if part not in parts.values()]
    if absent and patients:
        found = f"no sample of column {column!r} is in {' or '.join(absent)}"
        problems.append(problem("bad-part", "", "", found, expected="samples to train on, and samples to test on"))
    if parts:
        problems += [
            problem("missing-part", patient.id, "", f"no part in column {column!r}")
            for patient in patients
            if patient.id not in parts and is_missing(rows.get(patient.id, {}).get(column, ""))
        ]
    problems += [
        problem("parted-group", "", "", f"{group} is in {listed(sorted(found))}")
        for group, found in of_group.items()
        if len(found) > 1
    ]
    return parts, problems
