"""The check of a cohort of volumes: every file is read once, then judged with the others of its patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from branchpoint.datasets.checks.duplicates import duplicates
from branchpoint.datasets.checks.files import inspect_files
from branchpoint.datasets.checks.intensities import PET_OUTLIER, PET_TYPICAL
from branchpoint.datasets.checks.volume_files import inspect_volume
from branchpoint.datasets.checks.volume_geometry import patient_problems
from branchpoint.datasets.cohort import Cohort, MaskLabel, Patient
from branchpoint.datasets.file_report import FileJob, FileReport
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.reader import Reader


def check_volumes(cohort: Cohort, reader: Reader, *, workers: int = 0, progress: bool = False) -> list[Problem]:
    """Rows of all files, alone and together."""
    masks = {patient.id: _masks(patient, cohort.release, reader) for patient in cohort.patients}
    jobs = [job for patient in cohort.patients for job in _jobs(patient, masks[patient.id], reader)]
    reports = inspect_files(jobs, inspect_volume, workers=workers, progress=progress)
    by_patient: dict[str, dict[str, FileReport]] = defaultdict(dict)
    for report in reports:
        by_patient[report.job.patient][report.job.task] = report
    rows = [row for report in reports for row in report.problems]
    for patient in cohort.patients:
        found = by_patient[patient.id]
        images = {modality: found[modality] for modality in patient.images}
        grids = {name: (modality, found[name]) for name, (modality, _) in masks[patient.id].items()}
        rows += patient_problems(patient, images, grids)
    return rows + duplicates(reports) + _uptake_problems(reports)


def _uptake_problems(reports: Sequence[FileReport]) -> list[Problem]:
    """Rows where PET cannot be in SUV, of most patients or of one beside others, though no file alone gives it away."""
    levels: dict[str, dict[str, float]] = defaultdict(dict)
    for report in reports:
        if report.typical_uptake is not None:
            levels[report.job.task][report.job.patient] = report.typical_uptake
    rows = []
    for task, values in levels.items():
        median = float(np.median(list(values.values())))
        if median > PET_TYPICAL:
            found = f"typically {median:.1f} in the body, over {len(values)} patients"
            rows.append(problem("pet-units", "", task, found))
            continue
        rows += [
            problem("pet-units", patient, task, f"{value:.1f} in most of the body, where others have {median:.1f}")
            for patient, value in values.items()
            if value > max(PET_OUTLIER[0], PET_OUTLIER[1] * median)
        ]
    return rows


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
