"""Dice, Jaccard and mIoU against MONAI, scikit-learn and counting; their policy on empty masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from branchpoint.tasks.segmentation import SegmentationTask, dice_loss, one_hot, segmentation_loss
from tests.tasks.segmentation_samples import sample, summary_of, task


def metrics_of(masks: list[tuple[list[int], list[int]]], classes: int = 1) -> dict[str, float]:
    """Metrics of (predicted, true) class ids for each patient."""
    predicted = torch.tensor([prediction for prediction, _ in masks])[:, None]
    truth = torch.tensor([true for _, true in masks], dtype=torch.uint8)[:, None]
    if classes == 1:
        logits = predicted.float() * 2 - 1
    else:
        logits = torch.cat([predicted == c for c in range(classes + 1)], 1).float()
    summary = task(classes).summarize(logits, truth, torch.ones(len(masks), dtype=torch.bool))
    return task(classes).metrics({name: value.numpy() for name, value in summary.items()})


def test_dice_per_patient_and_aggregated() -> None:
    values = metrics_of([([1, 1, 0, 0, 0], [1, 0, 0, 0, 0]), ([1, 1, 1, 1, 0], [1, 1, 1, 1, 1])])
    assert values["dice"] == pytest.approx((2 / 3 + 8 / 9) / 2)
    assert values["dice_aggregated"] == pytest.approx(2 * (1 + 4) / (3 + 9))
    assert values["n_empty"] == 0


def test_dice_matches_monai() -> None:
    from monai.metrics import DiceMetric

    logits, target = sample(2, shape=(6, 6, 6), batch=4)
    summary = {k: v.numpy() for k, v in task(2).summarize(logits, target, torch.ones(4, dtype=torch.bool)).items()}
    metric = DiceMetric(include_background=False, num_classes=3)
    metric(logits.argmax(1, keepdim=True), target.long())
    assert task(2).metrics(summary)["dice"] == pytest.approx(float(metric.aggregate()), rel=1e-6)


def test_policy_on_empty_masks() -> None:
    missed = metrics_of([([0, 0], [1, 0]), ([1, 0], [1, 0])])
    assert missed == {
        "dice": 0.5,
        "dice_aggregated": pytest.approx(2 / 3),
        "ji": 0.5,
        "ji_aggregated": 0.5,
        "n_empty": 0.0,
    }
    # An empty truth leaves the mean, is counted, and its false positives weigh on the aggregated score.
    false_positive = metrics_of([([1, 1], [0, 0]), ([1, 0], [1, 0])])
    assert false_positive == {
        "dice": 1.0,
        "dice_aggregated": pytest.approx(2 / 4),
        "ji": 1.0,
        "ji_aggregated": pytest.approx(1 / 3),
        "n_empty": 1.0,
    }
    nothing = metrics_of([([0, 0], [0, 0])])
    assert math.isnan(nothing["dice"])
    assert math.isnan(nothing["dice_aggregated"])
    assert nothing["n_empty"] == 1.0


def test_classes_are_averaged_within_a_patient_where_present() -> None:
    values = metrics_of([([1, 2, 0, 0], [1, 2, 2, 0]), ([1, 1, 2, 0], [1, 0, 0, 0])], classes=2)
    first, second = (1 + 2 / 3) / 2, 2 / 3  # the second patient has no class 2
    assert values["dice"] == pytest.approx((first + second) / 2)
    assert values["dice_1"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["dice_2"] == pytest.approx(2 / 3)
    assert values["dice_aggregated_2"] == pytest.approx(2 * 1 / (2 + 2))
    assert values["n_empty"] == 1


def test_resampled_metrics_equal_those_of_the_resample() -> None:
    logits, target = sample(2, shape=(3, 3), batch=9)
    target[2] = 0
    labelled = torch.tensor([True] * 8 + [False])
    summary = {k: v.numpy() for k, v in task(2).summarize(logits, target, labelled).items()}
    counts = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=25)
    fast, slow = task(2).resampled(summary, counts), super(SegmentationTask, task(2)).resampled(summary, counts)
    for name, values in fast.items():
        np.testing.assert_allclose(values, slow[name], err_msg=name)


def test_one_hot_and_outputs() -> None:
    assert one_hot(torch.tensor([[[0, 1, 2]]]), 2).tolist() == [[[False, True, False], [False, False, True]]]
    assert (task(1).outputs, task(3).outputs) == (1, 4)
    assert task().dense


def test_without_background_class_zero_is_a_class() -> None:
    built = task(2, background=False)
    logits, target = sample(2, shape=(6, 6), batch=4)
    summary = summary_of(built, logits, target)
    assert summary["truth"].shape == (4, 3)
    assert (summary["truth"].sum(1) == 36).all()
    assert {"dice_0", "dice_1", "dice_2"} <= built.metrics(summary).keys()
    probability, truth = logits.softmax(1), one_hot(target, 3, first=0)
    expected = dice_loss(probability, truth).mean(1)
    torch.testing.assert_close(segmentation_loss(logits, target, "dice", background=False), expected)
    with pytest.raises(ValueError, match="a single sigmoid channel has a background"):
        task(1, background=False)


def test_miou_is_scikit_learns_over_the_labels_of_each_picture() -> None:
    from sklearn.metrics import jaccard_score

    for built in (task(3, metric="miou"), task(3, metric="miou", background=False)):
        logits, target = sample(3, shape=(9, 9), batch=5)
        target[1][target[1] == 2] = 0
        answer = logits.argmax(1).flatten(1).numpy()
        truth = target.flatten(1).numpy()
        pictures = [
            jaccard_score(y, p, labels=np.unique(y), average="macro") for y, p in zip(truth, answer, strict=True)
        ]
        metrics = built.metrics(summary_of(built, logits, target))
        assert built.primary_metric == "miou"
        assert metrics["miou"] == pytest.approx(np.mean(pictures))
        everything = jaccard_score(truth.ravel(), answer.ravel(), average="macro")
        assert metrics["miou_aggregated"] == pytest.approx(everything)


def test_binary_miou_counts_the_background_too() -> None:
    built = task(1, metric="miou")
    logits = torch.tensor([[1.0, 1.0, -1.0, -1.0, -1.0]])[:, None]
    target = torch.tensor([[1, 0, 0, 0, 1]], dtype=torch.uint8)[:, None]
    metrics = built.metrics(summary_of(built, logits, target))
    assert metrics["miou"] == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert metrics["ji"] == pytest.approx(1 / 3)


def test_jaccard_follows_from_dice() -> None:
    logits, target = sample(1, shape=(7, 7), batch=1)
    metrics = task().metrics(summary_of(task(), logits, target))
    assert metrics["ji"] == pytest.approx(metrics["dice"] / (2 - metrics["dice"]))


@pytest.mark.parametrize("more", [{"metric": "miou"}, {"background": False, "metric": "miou_aggregated"}])
def test_resampled_miou_equals_that_of_the_resample(more: dict[str, object]) -> None:
    built = task(2, **more)
    logits, target = sample(2, shape=(3, 3), batch=9)
    counts = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=25)
    summary = summary_of(built, logits, target)
    fast, slow = built.resampled(summary, counts), super(SegmentationTask, built).resampled(summary, counts)
    for name, values in fast.items():
        np.testing.assert_allclose(values, slow[name], err_msg=name)
