"""The computation behind ``branchpoint radiomics``: the hand-crafted reference on the folds of a finished study."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from branchpoint.config import Config, SegmentationConfig
from branchpoint.datasets.cohort import Cohort, Patient
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.datasets.splits import split
from branchpoint.evaluation.estimates import added_references
from branchpoint.evaluation.references import Reference
from branchpoint.execution.finished import FinishedStudy
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.execution.state import NETWORK
from branchpoint.radiomics.patients import FeatureTable, Outline, measure_patients, true_outline
from branchpoint.radiomics.predicted import predicted_outline
from branchpoint.radiomics.references import LABEL_PREDICTED, no_answer, radiomics_reference
from branchpoint.store import Store
from branchpoint.tasks import build_task
from branchpoint.tasks.survival import SurvivalTask

if TYPE_CHECKING:
    from torch import nn


def compare_with_radiomics(
    store: Store,
    study: str,
    *,
    data_root: Path | None = None,
    home: Path | None = None,
    predicted: bool = True,
    out: Path | None = None,
    workers: int = 1,
) -> list[str]:
    """Compute, compare with the study's recommended network, and write the figures to the store.

    Args:
        store: results store.
        study: its name.
        data_root: folder of the release; by default the study's.
        home: folder with the cache.
        predicted: also inside the outlines that the networks of the study draw.
        out: CSV file for the features inside the true outlines.
        workers: threads.

    Returns:
        What was chosen in each fold, and whose features are missing.

    Raises:
        ValueError: the study has no survival task, no outline or no networks; or the cohort is not CT and PET.
    """
    finished = FinishedStudy.open(store, study, home=home, data_root=data_root)
    config = finished.config
    tasks = _survival_tasks(config, study)
    cohort = read_cohort(config.dataset)
    outline = _outlined_target(cohort)
    prepared = finished.prepare_cohort()
    setup = finished.setup(prepared.path)
    table = _measured(cohort, prepared, true_outline(outline), workers)
    if out is not None:
        write_csv(table, out)
    lines, folds = [*table.notes], []
    for run in finished.runs[0]:
        parts = split(prepared, run.config.split)
        found = [radiomics_reference(task, prepared, table, parts) for task in tasks]
        if predicted:
            inside, notes = _inside_predicted(run, setup, cohort, prepared, tasks, workers)
            found += inside
            lines += notes
        folds.append(found)
        lines += [f"fold {run.config.split.fold + 1}, {each.task}, {each.label}: {each.note}" for each in found]
    records = added_references(
        study=study,
        config=config,
        label=finished.label,
        models=finished.summaries(setup),
        references=folds,
        excluded=finished.chose_candidates(prepared),
        groups=prepared.groups,
    )
    store.writer(study).figures(records)
    return lines


def _survival_tasks(config: Config, study: str) -> list[SurvivalTask]:
    tasks = [task for task in map(build_task, config.tasks) if isinstance(task, SurvivalTask)]
    if not tasks:
        raise ValueError(f"study {study!r} has no survival task: standard radiomics is a Cox model")
    return tasks


def _outlined_target(cohort: Cohort) -> str:
    """Name of the target whose masks are the regions to measure."""
    outline = next((name for name, kind in cohort.targets.items() if kind == "segmentation"), None)
    if outline is None or cohort.dimensions != 3:
        raise ValueError(f"cohort {cohort.name!r} has no outlines in volumes: there is no region to measure")
    return outline


def _drawing_task(run: RunSpec) -> str | None:
    """Name of the trained segmentation task."""
    names = [t.name for t in run.config.tasks if isinstance(t, SegmentationConfig) and t.background and t.weight > 0]
    return names[0] if names else None


def _measured(cohort: Cohort, prepared: PreparedCohort, outline: Outline, workers: int) -> FeatureTable:
    by_id = {patient.id: patient for patient in cohort.patients}
    patients: list[Patient] = [by_id[name] for name in prepared.patient_ids]
    return measure_patients(patients, cohort.modalities, outline, workers=workers)


def _inside_predicted(
    run: RunSpec,
    setup: Setup,
    cohort: Cohort,
    prepared: PreparedCohort,
    tasks: list[SurvivalTask],
    workers: int,
) -> tuple[list[Reference], list[str]]:
    """One fold inside the outlines of that fold's network, which saw none of its test patients; and who has none."""
    drawn = _drawing_task(run)
    if drawn is None:
        return [], []
    parts = split(prepared, run.config.split)
    try:
        table = _measured(
            cohort, prepared, predicted_outline(_network(run, setup), run.config, prepared, drawn), workers
        )
    except ValueError as problem:  # a poor network may draw nothing at all
        return [no_answer(task, prepared, parts, LABEL_PREDICTED, str(problem)) for task in tasks], []
    notes = [f"fold {run.config.split.fold + 1}, {LABEL_PREDICTED}: {note}" for note in table.notes]
    return [radiomics_reference(task, prepared, table, parts, LABEL_PREDICTED) for task in tasks], notes


def _network(run: RunSpec, setup: Setup) -> nn.Module:
    import torch

    from branchpoint.networks import build

    network = build(run.config)
    content = io.BytesIO(setup.run_folder(run.name).place.read(NETWORK))
    network.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
    return network


def write_csv(table: FeatureTable, path: Path) -> None:
    """One line for each patient, a column for each feature; empty where there are none."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", *table.names])
        for patient, values in zip(table.patient_ids, table.values, strict=True):
            writer.writerow([patient, *("" if np.isnan(value) else repr(float(value)) for value in values)])
