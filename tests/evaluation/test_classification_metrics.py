"""Probabilities of classes against scikit-learn and torchmetrics' definitions, and what validation chooses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix

from branchpoint.config import ClassificationConfig, SurvivalConfig
from branchpoint.evaluation.calibration import fit_temperature, scale, threshold_at, with_validation
from branchpoint.evaluation.classification import (
    average_precision,
    brier,
    confidence,
    expected_calibration_error,
    rates_above,
    reliability_table,
)
from branchpoint.tasks import build_task


def predictions(classes: int, count: int = 400, seed: int = 0, sharp: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (count, classes) and labels drawn by softmax(logits / sharp): above 1 they are too sure."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(count, classes))
    true = scale(np.exp(logits - logits.max(1, keepdims=True)), sharp)
    label = (rng.random(count)[:, None] > true.cumsum(1)).sum(1)
    raised = np.exp(logits)
    return raised / raised.sum(1, keepdims=True), label


@pytest.mark.parametrize("classes", [2, 4])
def test_brier_score(classes: int) -> None:
    probability, label = predictions(classes)
    truth = label[:, None] == np.arange(classes)
    expected = brier_score_loss(label, probability[:, 1] if classes == 2 else probability, labels=np.arange(classes))
    assert brier(probability, truth)[0] == pytest.approx(expected)


@pytest.mark.parametrize("classes", [2, 4])
def test_expected_calibration_error(classes: int) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("torchmetrics.functional.classification")
    probability, label = predictions(classes)
    happened = confidence(probability, label[:, None] == np.arange(classes))
    found = expected_calibration_error(*happened)[0]
    if classes == 2:
        scores, labels = torch.from_numpy(probability[:, 1]), torch.from_numpy(label)
        expected = metrics.binary_calibration_error(scores, labels, n_bins=10)
    else:
        scores, labels = torch.from_numpy(probability), torch.from_numpy(label)
        expected = metrics.multiclass_calibration_error(scores, labels, num_classes=classes, n_bins=10)
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_calibration_error_by_hand() -> None:
    probability, happened = np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, True, True, True])
    assert expected_calibration_error(probability, happened)[0] == pytest.approx((0.45 + 0.05) / 2)
    table = reliability_table(probability, happened)
    assert table.count.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert table.observed[[0, 9]].tolist() == [0.5, 1.0]
    assert np.isnan(table.predicted[1:9]).all()


def test_average_precision_with_ties_and_within_folds() -> None:
    probability, label = predictions(2)
    score, positive = np.round(probability[:, 1], 1), label == 1
    expected = average_precision_score(positive, score)
    assert average_precision(score, positive)[0] == pytest.approx(expected)
    fold = np.arange(400) % 2
    parts = [average_precision_score(positive[fold == k], score[fold == k]) for k in (0, 1)]
    weights = [positive[fold == k].sum() for k in (0, 1)]
    moved = score + 10 * fold
    assert average_precision(moved, positive, fold=fold)[0] == pytest.approx(np.average(parts, weights=weights))


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_resamples_are_repeated_samples(seed: int) -> None:
    probability, label = predictions(3, count=60, seed=seed)
    truth = label[:, None] == np.arange(3)
    counts = np.random.default_rng(seed).multinomial(60, np.full(60, 1 / 60), size=3)
    sure, right = confidence(probability, truth)
    for place, row in enumerate(counts):
        chosen = np.repeat(np.arange(60), row)
        pairs = [
            (brier(probability, truth, counts), brier(probability[chosen], truth[chosen])),
            (expected_calibration_error(sure, right, counts), expected_calibration_error(sure[chosen], right[chosen])),
            (average_precision(sure, right, counts), average_precision(sure[chosen], right[chosen])),
        ]
        for many, one in pairs:
            assert many[place] == pytest.approx(one[0], nan_ok=True)


def test_a_threshold_reaches_its_specificity_and_no_lower_one_does() -> None:
    probability, label = predictions(2)
    score, positive = probability[:, 1], label == 1
    for specificity in (0.5, 0.9, 1.0):
        chosen = threshold_at(score, positive, specificity)
        alarm = score > chosen
        (quiet, false), (missed, found) = confusion_matrix(positive, alarm)
        assert quiet / (quiet + false) >= specificity
        lower = np.max(score[(score < chosen) & ~positive])
        assert (score[~positive] <= lower).mean() < specificity
        sensitivity, reached = rates_above(score, positive, np.full(400, chosen))
        assert (sensitivity[0], reached[0]) == pytest.approx((found / (found + missed), quiet / (quiet + false)))
    assert np.isnan(threshold_at(np.array([0.2]), np.array([True])))


def test_temperature_recovers_how_much_too_sure_a_network_is() -> None:
    for sharp in (0.5, 1.0, 3.0):
        probability, label = predictions(3, count=8000, sharp=sharp)
        assert fit_temperature(probability, label) == pytest.approx(sharp, rel=0.06)
    probability, label = predictions(3)
    assert fit_temperature(probability, np.zeros(400, int)) == 1.0
    assert fit_temperature(probability[:5], label[:5]) == 1.0
    np.testing.assert_allclose(scale(probability, 1.0), probability)
    assert (scale(probability, 3.0).argmax(1) == probability.argmax(1)).all()


def test_validation_chooses_and_test_labels_do_not() -> None:
    task = build_task(ClassificationConfig(name="grade", target="grade", classes=2))
    validation, test = (
        {"probability": p, "label": y, "labelled": np.ones(400, bool), "index": np.arange(400)}
        for p, y in (predictions(2, seed=seed, sharp=2.0) for seed in (1, 2))
    )
    found = with_validation(task, test, validation)
    turned = with_validation(task, {**test, "label": 1 - test["label"]}, validation)
    for name in ("calibrated", "temperature", "threshold"):
        np.testing.assert_array_equal(found[name], turned[name])
    assert found["temperature"][0] == pytest.approx(2.0, rel=0.4)
    truth = test["label"][:, None] == np.arange(2)
    assert brier(found["calibrated"], truth)[0] < brier(test["probability"], truth)[0]
    survival = build_task(SurvivalConfig(name="survival", target="survival"))
    assert with_validation(survival, test, validation) is test
