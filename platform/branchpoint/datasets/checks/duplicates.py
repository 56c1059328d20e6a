"""Images that stand under two names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from branchpoint.datasets.file_report import FileReport
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem


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
