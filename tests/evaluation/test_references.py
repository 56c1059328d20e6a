"""Trivial references on cohorts with known answers; nothing is learned from the test part."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from branchpoint.config import ClassificationConfig, SegmentationConfig, SurvivalConfig
from branchpoint.evaluation.bootstrap import intervals
from branchpoint.evaluation.label_references import PREVALENCE
from branchpoint.evaluation.measurements import Measurements, largest_component, measure
from branchpoint.evaluation.references import (
    COMPONENT,
    ELLIPSOID,
    MEAN_MASK,
    TUMOUR,
    clinical_survival,
    pool_references,
    references,
)
from branchpoint.tasks import build_task
from tests.evaluation.tumour_cohort import VOXEL_ML, TumourCohort, by_label, cohort

TUMOUR_TASK = build_task(SegmentationConfig(name="outline", target="tumour"))
SURVIVAL_TASK = build_task(SurvivalConfig(name="relapse", target="survival"))
GRADE_TASK = build_task(ClassificationConfig(name="grading", target="grade", classes=3))
TASKS = [TUMOUR_TASK, SURVIVAL_TASK, GRADE_TASK]
PATIENTS = cohort()
MEASURED = measure(PATIENTS)
TRAIN, TEST = np.arange(25), np.arange(25, 40)
FOUND = references(TASKS, PATIENTS, MEASURED, TRAIN, TEST)


def test_measurements_are_in_physical_units() -> None:
    sizes = PATIENTS.masks.reshape(40, -1).sum(1)
    uptakes = PATIENTS.suv.reshape(40, -1).max(1)
    expected = np.stack([np.log(sizes * VOXEL_ML), np.log(uptakes)], 1)
    np.testing.assert_allclose(MEASURED.tumour, expected, rtol=1e-5)
    np.testing.assert_allclose(MEASURED.component, expected, rtol=1e-5)
    assert MEASURED.shape == (16, 18, 20)
    assert (MEASURED.covered == [[0, 16], [0, 18], [0, 20]]).all()


def test_every_reference_is_there() -> None:
    assert list(by_label(FOUND, "outline")) == [MEAN_MASK, ELLIPSOID]
    sets = ["age and T stage", TUMOUR, COMPONENT]  # all have N1
    assert list(by_label(FOUND, "relapse")) == [f"Cox on {numbers}" for numbers in sets]
    assert list(by_label(FOUND, "grading")) == [PREVALENCE, *(f"logistic regression on {numbers}" for numbers in sets)]
    for reference in FOUND:
        assert reference.summary["index"].tolist() == TEST.tolist()
        assert len(reference.summary["labelled"]) == len(TEST)


def test_clinical_values_alone_are_the_same_without_reading_images() -> None:
    alone = clinical_survival(SURVIVAL_TASK, PATIENTS, TRAIN, TEST)
    among = by_label(FOUND, "relapse")["Cox on age and T stage"]
    assert (alone.label, alone.note) == (among.label, among.note)
    np.testing.assert_array_equal(alone.summary["log_hazard"], among.summary["log_hazard"])
    bare = replace(PATIENTS, covariates=[{}] * 40)
    assert clinical_survival(SURVIVAL_TASK, bare, TRAIN, TEST) is None


def test_the_same_metrics_and_intervals_follow() -> None:
    tasks = {task.name: task for task in TASKS}
    for reference in FOUND:
        task = tasks[reference.task]
        found = intervals(task, reference.summary, resamples=50)[task.primary_metric]
        assert found.n == 15
        assert found.low <= found.value <= found.high


def test_numbers_that_rule_the_outcome_predict_it() -> None:
    survival, grading = by_label(FOUND, "relapse"), by_label(FOUND, "grading")
    for numbers in (TUMOUR, COMPONENT):
        assert SURVIVAL_TASK.metrics(survival[f"Cox on {numbers}"].summary)["c_index"] > 0.97
        grade = GRADE_TASK.metrics(grading[f"logistic regression on {numbers}"].summary)
        assert grade["balanced_accuracy"] > 0.8
        assert grade["auc"] > 0.95
    assert SURVIVAL_TASK.metrics(survival["Cox on age and T stage"].summary)["c_index"] > 0.9
    prevalence = GRADE_TASK.metrics(grading[PREVALENCE].summary)
    assert prevalence["balanced_accuracy"] == pytest.approx(1 / 3)
    assert prevalence["auc"] == 0.5


def test_cox_and_logistic_are_the_libraries_on_standardised_numbers() -> None:
    from sklearn.linear_model import LogisticRegression
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.util import Surv

    x = (MEASURED.tumour - MEASURED.tumour[TRAIN].mean(0)) / MEASURED.tumour[TRAIN].std(0)
    time, event = PATIENTS.labels["survival"].T
    cox = CoxPHSurvivalAnalysis(alpha=0.1).fit(x[TRAIN], Surv.from_arrays(event[TRAIN] > 0, time[TRAIN]))
    ours = by_label(FOUND, "relapse")[f"Cox on {TUMOUR}"].summary["log_hazard"]
    np.testing.assert_allclose(ours, cox.predict(x[TEST]), rtol=1e-6)
    logistic = LogisticRegression(C=10, max_iter=1000).fit(x[TRAIN], PATIENTS.labels["grade"][TRAIN])
    ours = by_label(FOUND, "grading")[f"logistic regression on {TUMOUR}"].summary["probability"]
    np.testing.assert_allclose(ours, logistic.predict_proba(x[TEST]), rtol=1e-6)


def test_labels_and_masks_of_the_test_part_are_not_used() -> None:
    """With other test labels and masks, every prediction that needs no contour stays as it is."""
    other = cohort()
    rng = np.random.default_rng(5)
    for name in ("survival", "grade"):
        other.labels[name][TEST] = rng.permutation(other.labels[name][TEST])
    other.masks[TEST] = other.masks[TEST, ::-1]
    again = references(TASKS, other, measure(other), TRAIN, TEST)
    for before, after in zip(FOUND, again, strict=True):
        for name in {"log_hazard", "probability", "predicted"} & set(before.summary):
            if TUMOUR not in before.label:
                np.testing.assert_array_equal(before.summary[name], after.summary[name], err_msg=before.label)


def test_a_patient_in_both_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="P007"):
        references(TASKS, PATIENTS, MEASURED, [1, 7], [7, 9])


def test_largest_component() -> None:
    suv = np.zeros((8, 8, 8))
    suv[:2, :2, :2], suv[5:8, 5:8, 5:8] = 30.0, 3.0
    suv[4, 4, 4] = 50.0  # touches the larger one by a corner alone
    log_volume, log_maximum = largest_component(suv, voxel_ml=0.5)
    assert (math.exp(log_volume), math.exp(log_maximum)) == pytest.approx((27 * 0.5, 3.0))
    log_volume, log_maximum = largest_component(np.full((4, 4, 4), 2.0), voxel_ml=0.5)
    assert (math.exp(log_volume), math.exp(log_maximum)) == pytest.approx((0.5, 2.0))
    assert math.isfinite(largest_component(np.zeros((4, 4, 4)), voxel_ml=0.5)[1])


def test_missing_numbers_and_labels() -> None:
    patients = cohort()
    patients.labelled["tumour"][[3, 30]] = False
    patients.labelled["survival"][[4, 31]] = False
    patients.covariates = [{"age": None} if i == 32 else {"age": 40.0 + i} for i in range(40)]
    found = references(TASKS, patients, measure(patients), TRAIN, TEST)
    cox = by_label(found, "relapse")
    assert cox[f"Cox on {TUMOUR}"].note == "2 of 40 patients lack a number; the training mean stands in"
    assert cox["Cox on age"].note.startswith("1 of 40")
    assert cox[f"Cox on {COMPONENT}"].note == ""
    for reference in cox.values():
        assert np.isfinite(reference.summary["log_hazard"]).all()
        assert intervals(SURVIVAL_TASK, reference.summary, resamples=5)["c_index"].n == 14
    assert cox["Cox on age"].summary["log_hazard"][32 - 25] == 0.0
    outline = by_label(found, "outline")[MEAN_MASK].summary
    assert outline["labelled"].sum() == 14
    assert outline["truth"][30 - 25, 0] == 0


def test_absent_pet_leaves_the_clinical_and_shape_references() -> None:
    patients = cohort()
    patients.modalities = ("CT",)
    measured = measure(patients)
    assert measured.tumour is None
    assert measured.component is None
    found = references(TASKS, patients, measured, TRAIN, TEST)
    assert list(by_label(found, "relapse")) == ["Cox on age and T stage"]
    assert len(by_label(found, "outline")) == 2


def test_grade_does_not_predict_itself() -> None:
    patients = cohort()
    patients.covariates = [
        {"grade": f"G{grade + 1}", "age": 50.0 + i} for i, grade in enumerate(patients.labels["grade"])
    ]
    found = references(TASKS, patients, MEASURED, TRAIN, TEST)
    assert "Cox on age and grade" in by_label(found, "relapse")
    assert "logistic regression on age" in by_label(found, "grading")


def test_a_training_part_without_events_or_classes() -> None:
    patients = cohort()
    patients.labels["survival"][TRAIN, 1] = 0
    patients.labels["grade"][TRAIN] = 2
    found = references(TASKS, patients, MEASURED, TRAIN, TEST)
    for reference in by_label(found, "relapse").values():
        assert math.isnan(SURVIVAL_TASK.metrics(reference.summary)["c_index"])
    for reference in by_label(found, "grading").values():
        assert (reference.summary["probability"] == [0, 0, 1]).all()


def test_separable_patients_keep_coefficients_finite() -> None:
    """Survival is a pure function of one number: without a penalty its coefficient would have no bound."""
    patients = cohort()
    patients.labels["survival"][:, 1] = 1
    patients.labels["survival"][:, 0] = 1000 - 10 * MEASURED.tumour[:, 0]
    found = by_label(references([SURVIVAL_TASK], patients, MEASURED, TRAIN, TEST), "relapse")
    assert np.abs(found[f"Cox on {TUMOUR}"].summary["log_hazard"]).max() < 100


def test_pooled_references_hold_every_fold_once() -> None:
    folds = [(np.setdiff1d(np.arange(40), part), part) for part in np.array_split(np.arange(40), 5)]
    pooled = pool_references([references(TASKS, PATIENTS, MEASURED, *fold) for fold in folds])
    assert len(pooled) == len(FOUND)
    for reference in pooled:
        assert reference.summary["index"].tolist() == list(range(40))
        assert np.unique(reference.summary["fold"]).tolist() == [0, 1, 2, 3, 4]
    cox = by_label(pooled, "relapse")[f"Cox on {TUMOUR}"].summary
    assert SURVIVAL_TASK.metrics(cox)["c_index"] > 0.95


def test_measurements_can_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images are read once, by ``measure``: folds read nothing."""
    monkeypatch.setattr(TumourCohort, "batch", None)
    assert isinstance(MEASURED, Measurements)
    assert len(references(TASKS, PATIENTS, MEASURED, TRAIN, TEST)) == len(FOUND)
