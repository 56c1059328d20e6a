"""From a folder to a prepared cohort, with the check between: the one way that jobs and commands share."""

from __future__ import annotations

from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.check import check_cohort, errors_among, refuse_if_faulty, skip_faulty
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.datasets.problems.table import print_problems
from branchpoint.datasets.readers.registry import read_cohort


def checked_cohort(
    dataset: DatasetConfig, cache: Path, *, folds: int, without_faulty: bool = False
) -> tuple[PreparedCohort, tuple[str, ...]]:
    """The prepared cohort of ``dataset``, and who was left out as faulty.

    What the check found is printed as one table; where training is refused, it is in the error instead.

    Args:
        dataset: where the release lies, and how it is prepared.
        cache: folder of prepared cohorts.
        folds: of the cross-validation that the labels must suffice for.
        without_faulty: leave patients with errors out.

    Raises:
        CohortError: errors are left, which it holds; nothing was prepared.
        ValueError: the dataset has no folder, or its tables cannot be read.
    """
    if not dataset.root:
        raise ValueError("dataset.root is empty: give --data-root, the folder of the release")
    cohort = read_cohort(dataset)
    problems = check_cohort(cohort, dataset, folds=folds)
    excluded: tuple[str, ...] = ()
    if without_faulty or not errors_among(problems):
        print_problems(problems, title=f"{dataset.name} {dataset.release}: {len(cohort.patients)} patients")
    if without_faulty:
        cohort, excluded = skip_faulty(cohort, problems, folds=folds)
        problems = list(cohort.problems)
        print(f"left out as faulty: {', '.join(excluded) or 'nobody'}")
    refuse_if_faulty(problems)
    return prepare(cohort, dataset, cache, excluded=excluded), excluded
