"""Weighted cross-entropy against torch, metrics against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from branchpoint.config import ClassificationConfig
from branchpoint.tasks import build_task
from branchpoint.tasks.classification import ClassificationTask


def task(classes: int = 2, weights: tuple[float, ...] = ()) -> ClassificationTask:
    built = build_task(ClassificationConfig(name="grade", target="grade", classes=classes, class_weights=weights))
    assert isinstance(built, ClassificationTask)
    return built


def summary_of(probability, label, **more) -> dict[str, np.ndarray]:
    probability = np.asarray(probability, float)
    if probability.ndim == 1:
        probability = np.stack([1 - probability, probability], 1)
    return {"probability": probability, "label": np.asarray(label), "labelled": np.ones(len(label), bool), **more}


def random_summary(classes: int, seed: int, n: int = 40) -> dict[str, np.ndarray]:
    """Probabilities in steps, so that some tie."""
    rng = np.random.default_rng(seed)
    probability = rng.integers(1, 8, (n, classes)).astype(float)
    return summary_of(probability / probability.sum(1, keepdims=True), rng.integers(0, classes, n))


def test_loss_is_the_weighted_mean_over_labelled_samples() -> None:
    logits, target = torch.randn(6, 3, requires_grad=True), torch.tensor([0, 1, 2, 2, 1, 0])
    labelled = torch.tensor([True, True, False, True, True, False])
    weights = (1.0, 2.0, 0.5)
    loss = task(3, weights).loss(logits, target, labelled)
    entropy = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    expected = (entropy * torch.tensor(weights)[target])[labelled].mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert not logits.grad[~labelled].any()


def test_plain_loss_is_torchs() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    everyone = torch.ones(6, dtype=torch.bool)
    torch.testing.assert_close(
        task(3).loss(logits, target, everyone), torch.nn.functional.cross_entropy(logits, target)
    )


def test_nothing_labelled_gives_a_zero_on_the_graph() -> None:
    logits = torch.randn(4, 2, requires_grad=True)
    loss = task().loss(logits, torch.zeros(4, dtype=torch.long), torch.zeros(4, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not logits.grad.any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_match_scikit_learn(classes: int, seed: int) -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

    summary = random_summary(classes, seed)
    probability, label = summary["probability"], summary["label"]
    values = task(classes).metrics(summary)
    predicted = probability.argmax(1)
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, predicted))
    assert values["accuracy"] == pytest.approx(accuracy_score(label, predicted))
    if classes == 2:
        from sklearn.metrics import recall_score

        assert values["sensitivity"] == pytest.approx(recall_score(label, predicted))
        assert values["specificity"] == pytest.approx(recall_score(label, predicted, pos_label=0))
    # One answer of K: a wrong one is a false positive and a false negative.
    accuracy = values["accuracy"]
    assert values["micro_sensitivity"] == pytest.approx(accuracy)
    assert values["micro_specificity"] == pytest.approx(1 - (1 - accuracy) / (classes - 1))
    assert values["micro_accuracy"] == pytest.approx(1 - 2 * (1 - accuracy) / classes)
    score = probability[:, 1] if classes == 2 else probability
    assert values["auc"] == pytest.approx(roc_auc_score(label, score, multi_class="ovr"))


@pytest.mark.parametrize("classes", [2, 3])
def test_resampled_metrics_equal_those_of_the_resample(classes: int) -> None:
    summary = random_summary(classes, 5, n=15)
    summary["labelled"][3] = False
    summary["fold"] = np.arange(15) % 2
    counts = np.random.default_rng(0).multinomial(15, np.full(15, 1 / 15), size=30)
    fast = task(classes).resampled(summary, counts)
    slow = super(ClassificationTask, task(classes)).resampled(summary, counts)
    for name, values in fast.items():
        np.testing.assert_allclose(values, slow[name], atol=1e-12, err_msg=name)


def test_one_class_alone_leaves_metrics_undefined() -> None:
    values = task().metrics(summary_of([0.9, 0.8], [1, 1]))
    assert math.isnan(values["balanced_accuracy"])
    assert math.isnan(values["auc"])
    assert values["accuracy"] == 1.0
    assert all(math.isnan(value) for value in task().metrics(summary_of(np.empty((0, 2)), [])).values())


def test_an_absent_class_of_several_leaves_the_mean() -> None:
    probability = np.eye(3)[[0, 1, 1, 0]]
    values = task(3).metrics(summary_of(probability, [0, 1, 1, 1]))
    assert values["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)


def test_a_diverged_network_has_no_metrics() -> None:
    assert all(math.isnan(value) for value in task().metrics(summary_of([np.nan, 0.2], [1, 0])).values())


def test_pooled_prevalences_have_an_auc_of_one_half() -> None:
    """Each fold's training prevalence runs against its test prevalence: compared across folds it would look bad."""
    probability, label, fold = [0.4] * 4 + [0.6] * 4, [1, 1, 1, 0, 1, 0, 0, 0], np.repeat([0, 1], 4)
    assert task().metrics(summary_of(probability, label))["auc"] < 0.5
    assert task().metrics(summary_of(probability, label, fold=fold))["auc"] == 0.5


def test_summarize_and_chance() -> None:
    summary = task(4).summarize(torch.randn(5, 4), torch.arange(5) % 4, torch.ones(5, dtype=torch.bool))
    assert summary["probability"].shape == (5, 4)
    torch.testing.assert_close(summary["probability"].sum(1), torch.ones(5))
    assert (task(4).chance, task(4).outputs, task(4).dense) == (0.25, 4, False)
