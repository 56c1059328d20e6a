"""Trivial references on cohorts with known answers; nothing is learned from the test part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from branchpoint.config import ClassificationConfig, SegmentationConfig, SurvivalConfig
from branchpoint.datasets.batch import Batch
from branchpoint.tasks import build_task
from branchpoint.training.bootstrap import intervals
from branchpoint.training.label_references import PREVALENCE
from branchpoint.training.measurements import Measurements, covered_box, largest_component, measure
from branchpoint.training.references import (
    COMPONENT,
    ELLIPSOID,
    MEAN_MASK,
    TUMOUR,
    Reference,
    pool_references,
    references,
)

TUMOUR_TASK = build_task(SegmentationConfig(name="outline", target="tumour"))
SURVIVAL_TASK = build_task(SurvivalConfig(name="relapse", target="survival"))
GRADE_TASK = build_task(ClassificationConfig(name="grading", target="grade", classes=3))
TASKS = [TUMOUR_TASK, SURVIVAL_TASK, GRADE_TASK]
VOXEL_ML = 0.064


@dataclass
class MemoryCohort:
    """CT and PET (in SUV), masks and labels in memory; the batch's image is normalised as a real one."""

    ct: np.ndarray
    suv: np.ndarray
    masks: np.ndarray
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    labelled: dict[str, np.ndarray] = field(default_factory=dict)
    covariates: Sequence[Mapping[str, float | str | None]] = ()
    modalities: tuple[str, ...] = ("CT", "PET")

    def __post_init__(self) -> None:
        self.labelled = {
            "tumour": np.ones(len(self.suv), bool),
            **{name: np.ones(len(self.suv), bool) for name in self.labels},
            **self.labelled,
        }
        self.covariates = self.covariates or [{}] * len(self.suv)

    @property
    def patient_ids(self) -> tuple[str, ...]:
        return tuple(f"P{i:03}" for i in range(len(self.suv)))

    @property
    def targets(self) -> dict[str, str]:
        return {"tumour": "segmentation", "survival": "survival", "grade": "classification"}

    def batch(self, indices: Sequence[int]) -> Batch:
        index = np.asarray(indices)
        offset, scale = np.array([0.0, 0.3]), np.array([1024.0, 2.5])
        raw = np.stack([self.ct[index], self.suv[index]], 1)
        image = (raw - offset[None, :, None, None, None]) / scale[None, :, None, None, None]
        channels = len(self.modalities)
        return Batch(
            inputs={
                "image": torch.tensor(image[:, :channels], dtype=torch.float32),
                "intensity_offset": torch.tensor(np.tile(offset, (len(index), 1))[:, :channels], dtype=torch.float32),
                "intensity_scale": torch.tensor(np.tile(scale, (len(index), 1))[:, :channels], dtype=torch.float32),
                "voxel_ml": torch.full((len(index),), VOXEL_ML),
            },
            targets={"tumour": torch.tensor(self.masks[index][:, None])},
            labelled={"tumour": torch.tensor(self.labelled["tumour"][index])},
            index=torch.tensor(index),
        )


def cohort(n: int = 40, seed: int = 0) -> MemoryCohort:
    """Cubes of 2 to 6 voxels with uptake 5 to 20 at random places; time falls with volume, grade with uptake.

    Noise below SUV 1 around them, so that the largest component above 2.5 is the tumour.
    """
    rng = np.random.default_rng(seed)
    suv, masks = rng.uniform(0, 1, (n, 16, 18, 20)), np.zeros((n, 16, 18, 20), np.uint8)
    sizes, uptakes = rng.integers(2, 7, n), rng.uniform(5, 20, n)
    for i in range(n):
        z, y, x = (rng.integers(0, length - sizes[i] + 1) for length in suv.shape[1:])
        masks[i, z : z + sizes[i], y : y + sizes[i], x : x + sizes[i]] = 1
        suv[i][masks[i] == 1] = uptakes[i]
    time = 1000.0 - 100 * sizes - uptakes
    event = rng.random(n) < 0.5
    return MemoryCohort(
        ct=rng.uniform(-1000, 500, suv.shape),
        suv=suv,
        masks=masks,
        labels={"survival": np.stack([time, event], 1), "grade": np.digitize(uptakes, [10, 15])},
        covariates=[{"age": 50.0 + 3 * sizes[i], "t_stage": f"T{sizes[i] // 2}", "n_stage": "N1"} for i in range(n)],
    )


def by_label(found: Sequence[Reference], task: str) -> dict[str, Reference]:
    return {reference.label: reference for reference in found if reference.task == task}


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


def best_dice(masks: np.ndarray, predictions: Sequence[np.ndarray]) -> int:
    """Position of the prediction with the best mean Dice, the first of equals."""
    dice = [np.mean([2 * (p & m).sum() / (p.sum() + m.sum()) for m in masks > 0]) for p in predictions]
    return int(np.argmax(dice))


def test_mean_mask_is_cut_where_training_dice_is_best() -> None:
    mean = PATIENTS.masks[TRAIN].sum(0)
    levels = [mean * 50 // mean.max() >= level for level in range(1, 51)]
    chosen = levels[best_dice(PATIENTS.masks[TRAIN], levels)]
    summary = by_label(FOUND, "outline")[MEAN_MASK].summary
    assert (summary["predicted"] == chosen.sum()).all()
    overlap = [(chosen & (PATIENTS.masks[i] > 0)).sum() for i in TEST]
    assert summary["overlap"][:, 0].tolist() == overlap
    assert summary["truth"][:, 0].tolist() == PATIENTS.masks[TEST].reshape(15, -1).sum(1).tolist()


def test_mean_mask_of_equal_masks_is_that_mask() -> None:
    patients = cohort(6)
    patients.masks[:] = patients.masks[0]
    found = by_label(references([TUMOUR_TASK], patients, measure(patients), [0, 1, 2], [3, 4, 5]), "outline")
    assert TUMOUR_TASK.metrics(found[MEAN_MASK].summary)["dice"] == 1.0


def padded(n: int, inset: float) -> MemoryCohort:
    """Images of several extents in one grid; the tumour is the ellipsoid this far inside each."""
    patients, rng = cohort(n), np.random.default_rng(1)
    patients.masks[:] = 0
    for i in range(n):
        low, high = rng.integers(0, 4, 3), np.array(patients.suv.shape[1:]) - rng.integers(0, 4, 3)
        half = (high - low) / 2
        grid = np.stack(np.meshgrid(*map(np.arange, patients.suv.shape[1:]), indexing="ij")) + 0.5
        middle, axes = ((low + high) / 2)[:, None, None, None], (half - inset)[:, None, None, None]
        patients.masks[i] = ((((grid - middle) / axes) ** 2).sum(0) <= 1).astype(np.uint8)
        outside = np.ones(patients.suv.shape[1:], bool)
        outside[tuple(map(slice, low, high))] = False
        patients.ct[i][outside], patients.suv[i][outside] = -1024, 0
    return patients


def test_ellipsoid_follows_the_extent_of_each_image() -> None:
    patients = padded(8, inset=4.0)
    found = by_label(references([TUMOUR_TASK], patients, measure(patients), range(5), range(5, 8)), "outline")
    assert TUMOUR_TASK.metrics(found[ELLIPSOID].summary)["dice"] > 0.97


def test_covered_box_takes_constant_planes_off() -> None:
    image = np.zeros((2, 6, 7, 8))
    image[1, 1:5, 2:7, 3:4] = np.random.default_rng(0).random((4, 5, 1))
    assert covered_box(image).tolist() == [[1, 5], [2, 7], [3, 4]]
    assert covered_box(np.zeros((1, 4, 5))).tolist() == [[0, 4], [0, 5]]


def test_several_classes_are_drawn_each() -> None:
    patients = cohort(10)
    patients.masks[:, :, :, 10:] *= 2
    task = build_task(SegmentationConfig(name="outline", target="tumour", foreground_classes=2))
    for reference in references([task], patients, measure(patients), range(6), range(6, 10)):
        assert reference.summary["predicted"].shape == (4, 2)
        assert (reference.summary["overlap"] <= reference.summary["truth"]).all()
        assert 0 <= task.metrics(reference.summary)["dice"] <= 1


def test_voxels_without_a_class_count_in_no_reference() -> None:
    """Against a brute-force count: what is predicted on them is dropped, and volumes leave them out."""
    patients = cohort(10)
    outside = np.random.default_rng(2).random(patients.masks.shape) < 0.3
    patients.masks[outside] = 255
    measured = measure(patients)
    volumes = np.log((patients.masks == 1).reshape(10, -1).sum(1) * VOXEL_ML)
    np.testing.assert_allclose(measured.tumour[:, 0], volumes, atol=1e-6)
    train, test = range(6), range(6, 10)
    for label, summary in ((r.label, r.summary) for r in references([TUMOUR_TASK], patients, measured, train, test)):
        assert (summary["truth"][:, 0] == (patients.masks[6:] == 1).reshape(4, -1).sum(1)).all()
        assert (summary["overlap"] <= summary["truth"]).all()
        if label == MEAN_MASK:
            mean = (patients.masks[:6] == 1).sum(0)
            cuts = [mean * 50 // mean.max() >= level for level in range(1, 51)]
            counts = [[(cut & ~outside[i]).sum() for i in test] for cut in cuts]
            assert summary["predicted"][:, 0].tolist() in counts
            assert len(set(summary["predicted"][:, 0].tolist())) > 1


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
    monkeypatch.setattr(MemoryCohort, "batch", None)
    assert isinstance(MEASURED, Measurements)
    assert len(references(TASKS, PATIENTS, MEASURED, TRAIN, TEST)) == len(FOUND)
