"""The cohort of a job: a phantom where no release is given, checked and prepared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from branchpoint.commands.job import Job, Scale
from branchpoint.config import DatasetConfig


def phantom_root(job: Job, scale: Scale, home: Path, release: str, seed: int) -> Path:
    """Folder of the job's phantom, which is written if it does not exist yet.

    Raises:
        ValueError: the dataset has no phantom.
    """
    from branchpoint.phantoms import make_phantom

    if job.phantom is None:
        raise ValueError(f"there is no phantom of {job.dataset}: give --data-root, the folder of the release")
    settings = job.phantom(scale)
    name = "-".join([f"{scale.patients}-{seed}", *(f"{value:g}" for value in settings.values())])
    return make_phantom(
        job.dataset,
        home / "phantom" / f"{job.dataset}-{release or 'all'}-{name}",
        release=release,
        patients=scale.patients,
        seed=seed,
        **settings,
    )


def known_risk(root: Path) -> Mapping[str, float]:
    """True log-hazard by patient, if the cohort is a phantom with outcomes."""
    from branchpoint.phantoms import read_truth
    from branchpoint.phantoms.completion import TRUTH

    truth = read_truth(root) if (root / TRUTH).exists() else ()
    return {row["PatientID"]: float(row["log_hazard"]) for row in truth if "log_hazard" in row}


def prepared_cohort(dataset: DatasetConfig, folds: int, cache: Path, skip_faulty: bool) -> tuple[Path, tuple[str, ...]]:
    """Manifest of the prepared cohort, and the patients that were left out.

    Raises:
        SystemExit: the cohort has errors; the table of them is printed, and the exit code is 2.
    """
    from branchpoint.datasets.pipeline import checked_cohort
    from branchpoint.datasets.problems.problem import CohortError
    from branchpoint.datasets.problems.table import print_problems

    try:
        prepared, excluded = checked_cohort(dataset, cache, folds=folds, without_faulty=skip_faulty)
    except CohortError as faulty:
        print_problems(faulty.problems, title=f"{dataset.name} {dataset.release}: errors")
        print("Nothing was trained: correct the errors above, or leave these patients out with --skip-faulty.")
        raise SystemExit(2) from None
    return prepared.path, excluded
