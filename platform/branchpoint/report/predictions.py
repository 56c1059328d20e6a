"""Sections on the predictions for single test patients: outlines of six cases, survival by risk group, reliability.

The store holds figures alone. What each network said of its test patients lies beside its run (``test.npz``), its
images in the cache of the prepared cohort; where either is gone, the report says so and goes without.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from branchpoint.evaluation.evaluation import pool
from branchpoint.execution.finished import FinishedStudy
from branchpoint.execution.held_out import clinical_survival_of_folds
from branchpoint.report.case_sections import case_section
from branchpoint.report.class_sections import class_section
from branchpoint.report.parts import Section, Text
from branchpoint.report.survival_sections import survival_section
from branchpoint.store import Store
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary, select
from branchpoint.tasks.classification import ClassificationTask
from branchpoint.tasks.distance_map import DistanceMapTask
from branchpoint.tasks.segmentation import SegmentationTask
from branchpoint.tasks.survival import SurvivalTask


def prediction_sections(
    store: Store,
    study: str,
    manifest: Path | None = None,
    *,
    home: Path | None = None,
    data_root: Path | None = None,
    pictures: bool = True,
) -> list[Section]:
    """A section for each task of the recommended network that has something to show.

    Args:
        store: that holds the study.
        study: its name.
        manifest: of the prepared cohort; ``None``: it is checked and prepared as the study did.
        home: folder with the cache; see :func:`branchpoint.execution.state.home_folder`.
        data_root: folder of the release, where it lies elsewhere now.
        pictures: draw images of patients.
    """
    try:
        finished = FinishedStudy.open(store, study, home=home, data_root=data_root)
        setup = finished.setup(manifest or finished.prepare_cohort().path)
        cohort = setup.cohort()
        excluded = finished.chose_candidates(cohort)
        seeds = finished.summaries(setup)
    except (ValueError, OSError) as problem:
        return [absent(str(problem))]
    sections = []
    for config in finished.config.tasks:
        if config.weight == 0 or config.auxiliary:
            continue
        task = build_task(config)
        pooled = [_pooled([fold[task.name] for fold in folds], excluded) for folds in seeds]
        if isinstance(task, SegmentationTask | DistanceMapTask) and pictures:
            sections.append(case_section(task, pooled[0], finished.runs[0], setup))
        elif isinstance(task, SurvivalTask):
            references = clinical_survival_of_folds(finished.config, task, setup, finished.folds)
            clinical = _pooled([reference.summary for reference in references], excluded) if references else None
            sections.append(survival_section(task.name, pooled, clinical))
        elif isinstance(task, ClassificationTask):
            sections.append(class_section(task.name, pooled, cohort.class_names.get(task.config.target, ())))
    return sections


def absent(reason: str) -> Section:
    """In place of the sections: why there are none."""
    return Section("Single patients", [Text(f"Predictions for single patients are not shown: {reason}", note=False)])


def _pooled(folds: Sequence[Summary], excluded: np.ndarray) -> Summary:
    """The labelled test patients of all folds of one seed, without those who chose the candidates."""
    everyone = pool(folds)
    return select(everyone, everyone["labelled"].astype(bool) & ~np.isin(everyone["index"], excluded))
