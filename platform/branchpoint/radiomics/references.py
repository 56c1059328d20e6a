"""Standard radiomics as a reference: fitted and tested on the same folds as the networks it stands beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from branchpoint.datasets.splits import Split
from branchpoint.evaluation.references import Reference
from branchpoint.radiomics.model import fit
from branchpoint.radiomics.patients import FeatureTable
from branchpoint.tasks.survival import SurvivalTask

LABEL = "standard radiomics"
LABEL_PREDICTED = "standard radiomics, predicted outline"


class Labels(Protocol):
    """What is used of a prepared cohort."""

    @property
    def patient_ids(self) -> Sequence[str]: ...
    @property
    def labels(self) -> Mapping[str, np.ndarray]: ...
    @property
    def labelled(self) -> Mapping[str, np.ndarray]: ...


def radiomics_reference(
    task: SurvivalTask, prepared: Labels, features: FeatureTable, parts: Split, label: str = LABEL
) -> Reference:
    """Log-hazards of the test patients of one fold.

    A patient without features has no log-hazard, and counts as unlabelled: ``n`` of the figures tells. Where nothing
    can be selected or fitted, for want of events, that is everyone, and the note says why.

    Raises:
        ValueError: the features are of other patients.
    """
    if tuple(features.patient_ids) != tuple(prepared.patient_ids):
        raise ValueError("the features are not of the patients of the prepared cohort, in their order")
    labels, labelled = prepared.labels[task.config.target], prepared.labelled[task.config.target]
    time_days, event = labels[:, 0], labels[:, 1] > 0.5
    train, validation = parts.train[labelled[parts.train]], parts.validation[labelled[parts.validation]]
    test = parts.test
    try:
        model = fit(features.values, features.names, time_days, event, train, validation)
    except ValueError as problem:
        return no_answer(task, prepared, parts, label, str(problem))
    usable = labelled[test] & features.known[test]
    log_hazard = np.where(usable, model.log_hazard(features.values[test]), 0.0)
    chosen = ", ".join(features.names[column] for column in model.columns)
    ridge = f", ridge {model.ridge:g}" if model.ridge else ""
    note = f"threshold {model.threshold:g}, validation C-index {model.validation_c_index:.3f}{ridge}: {chosen}"
    answer = no_answer(task, prepared, parts, label, note)
    return replace(answer, summary={**answer.summary, "log_hazard": log_hazard, "labelled": usable})


def no_answer(task: SurvivalTask, prepared: Labels, parts: Split, label: str, note: str) -> Reference:
    """A reference that has no log-hazard for any test patient."""
    labels, test = prepared.labels[task.config.target], parts.test
    summary = {
        "log_hazard": np.zeros(len(test)),
        "time_days": labels[test, 0],
        "event": labels[test, 1] > 0.5,
        "labelled": np.zeros(len(test), bool),
        "index": test,
    }
    return Reference(label, task.name, summary, note)
