"""Dice losses against MONAI and closed forms; Dice scores against counting, and their policy on empty masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from branchpoint.config import SegmentationConfig
from branchpoint.tasks import build_task
from branchpoint.tasks.segmentation import SegmentationTask, dice_loss, one_hot, segmentation_loss
from branchpoint.tasks.segmentation_losses import KINDS, tversky_loss


def task(classes: int = 1, loss: str = "dice", **more: object) -> SegmentationTask:
    settings = {"foreground_classes": classes, "loss": loss, **more}
    built = build_task(SegmentationConfig(name="tumour", target="tumour", **settings))
    assert isinstance(built, SegmentationTask)
    return built


def sample(classes: int, seed: int = 0, shape: tuple[int, ...] = (5, 6, 7), batch: int = 3) -> tuple[Tensor, Tensor]:
    """Random logits and class ids in which every class occurs."""
    generator = torch.Generator().manual_seed(seed)
    channels = 1 if classes == 1 else classes + 1
    logits = 3 * torch.randn(batch, channels, *shape, generator=generator)
    return logits, torch.randint(0, classes + 1, (batch, 1, *shape), generator=generator).to(torch.uint8)


@pytest.mark.parametrize("shape", [(5, 6, 7), (8, 9)])
@pytest.mark.parametrize("classes", [1, 3])
def test_dice_loss_matches_monai(classes: int, shape: tuple[int, ...]) -> None:
    from monai.losses import DiceLoss

    logits, target = sample(classes, shape=shape)
    several = classes > 1
    theirs = DiceLoss(
        sigmoid=not several,
        softmax=several,
        to_onehot_y=several,
        include_background=not several,
        smooth_nr=0.0,
        smooth_dr=0.0,
        reduction="none",
    )(logits, target.float())
    torch.testing.assert_close(segmentation_loss(logits, target, "dice"), theirs.flatten(1).mean(1))


@pytest.mark.parametrize("classes", [1, 3])
def test_tversky_loss_matches_monai(classes: int) -> None:
    from monai.losses import TverskyLoss

    logits, target = sample(classes)
    several = classes > 1
    theirs = TverskyLoss(
        sigmoid=not several,
        softmax=several,
        to_onehot_y=several,
        include_background=not several,
        alpha=0.3,
        beta=0.7,
        smooth_nr=0.0,
        smooth_dr=0.0,
        reduction="none",
    )(logits, target.float())
    torch.testing.assert_close(segmentation_loss(logits, target, "tversky"), theirs.flatten(1).mean(1))


def test_tversky_with_halves_is_dice_and_weighs_what_is_missed() -> None:
    p, y = torch.tensor([[[0.5, 0.25, 1.0, 0.0]]]), torch.tensor([[[True, False, True, False]]])
    torch.testing.assert_close(tversky_loss(p, y, false_positive=0.5, false_negative=0.5), dice_loss(p, y))
    assert float(tversky_loss(p, y)) == pytest.approx(1 - 1.5 / (1.5 + 0.3 * 0.25 + 0.7 * 0.5))


def test_tversky_of_an_empty_mask_is_one_and_teaches_nothing() -> None:
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.zeros(1, 1, 4, 4, dtype=torch.uint8), "tversky").sum()
    loss.backward()
    assert float(loss.detach()) == 1.0
    assert not logits.grad.any()


def test_dice_ce_adds_the_cross_entropy() -> None:
    for classes in (1, 3):
        logits, target = sample(classes)
        if classes == 1:
            entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
        else:
            entropy = torch.nn.functional.cross_entropy(logits, target[:, 0].long(), reduction="none")
        expected = segmentation_loss(logits, target, "dice") + entropy.flatten(1).mean(1)
        torch.testing.assert_close(segmentation_loss(logits, target, "dice_ce"), expected)


def test_dice_focal_matches_monai_inside_the_clamp() -> None:
    from monai.losses import DiceLoss, FocalLoss

    logits, target = sample(1)
    logits = logits.clamp(-6, 6)  # the loss clamps probabilities to [0.001, 0.999], MONAI does not
    dice = DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=1.0, smooth_dr=1.0)(logits, target.float())
    focal = FocalLoss(gamma=2.0)(logits, target.float())
    torch.testing.assert_close(segmentation_loss(logits, target, "dice_focal").mean(), dice + focal)


def test_dice_focal_clamps_probabilities() -> None:
    """A certain and wrong voxel costs -(0.999)^2 log(0.001), whatever its logit."""
    target = torch.ones(1, 1, 1, 1, dtype=torch.uint8)
    dice = 1 - 1 / 2  # smoothing 1: (0 + 1) / (0 + 1 + 1)
    for logit in (-20.0, -90.0):
        loss = segmentation_loss(torch.full((1, 1, 1, 1), logit), target, "dice_focal")
        assert float(loss) == pytest.approx(dice - 0.999**2 * math.log(0.001), rel=1e-5)


def test_dice_loss_is_the_papers_plus_one() -> None:
    p, y = torch.tensor([[[0.5, 0.25, 1.0, 0.0]]]), torch.tensor([[[True, False, True, False]]])
    equation_1 = -2 * (0.5 + 1.0) / (1.75 + 2)
    assert float(dice_loss(p, y)) == pytest.approx(1 + equation_1)


def test_dice_is_taken_per_sample() -> None:
    """A small and a large mask count alike; over the whole batch the large one would rule."""
    logits = torch.full((2, 1, 10, 10), -50.0)
    target = torch.zeros(2, 1, 10, 10, dtype=torch.uint8)
    target[0, 0, 0, 0] = 1
    target[1, 0, :, :] = 1
    logits[1, 0, :, :] = 50.0
    everyone = torch.ones(2, dtype=torch.bool)
    assert float(task().loss(logits, target, everyone)) == pytest.approx(0.5)


def test_dice_of_an_empty_mask_is_one_and_teaches_nothing() -> None:
    for value in (-200.0, 0.0, 200.0):
        logits = torch.full((1, 1, 4, 4, 4), value, requires_grad=True)
        loss = segmentation_loss(logits, torch.zeros(1, 1, 4, 4, 4, dtype=torch.uint8), "dice").sum()
        loss.backward()
        assert float(loss.detach()) == 1.0
        assert not logits.grad.any()


@pytest.mark.parametrize("kind", ["dice_ce", "dice_focal", "tversky_ce"])
def test_combinations_penalise_false_positives_on_an_empty_mask(kind: str) -> None:
    logits = torch.zeros(1, 1, 4, 4, 4, requires_grad=True)
    segmentation_loss(logits, torch.zeros(1, 1, 4, 4, 4, dtype=torch.uint8), kind).sum().backward()
    assert (logits.grad > 0).all()


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(1, 3), st.floats(0, 1000), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_losses_are_finite_and_not_negative(kind: str, classes: int, scale: float, seed: int) -> None:
    logits, target = sample(classes, seed, shape=(3, 4), batch=2)
    logits = (scale * logits).requires_grad_()
    loss = segmentation_loss(logits, target, kind)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert (loss >= 0).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("kind", KINDS)
def test_unlabelled_samples_are_masked(kind: str) -> None:
    logits, target = sample(2)
    logits.requires_grad_()
    labelled = torch.tensor([True, False, True])
    loss = task(2, kind).loss(logits, target, labelled)
    torch.testing.assert_close(loss, segmentation_loss(logits[labelled], target[labelled], kind).mean())
    loss.backward()
    assert not logits.grad[1].any()
    logits.grad = None
    nothing = task(2, kind).loss(logits, target, torch.zeros(3, dtype=torch.bool))
    nothing.backward()
    assert float(nothing.detach()) == 0.0
    assert not logits.grad.any()  # type: ignore[attr-defined]


def test_half_precision_counts_voxels_in_float32() -> None:
    """3 million voxels overflow float16 and lose most of bfloat16's digits."""
    logits, target = sample(1, shape=(150, 150, 140), batch=1)
    exact = segmentation_loss(logits.bfloat16().float(), target, "dice")
    torch.testing.assert_close(segmentation_loss(logits.bfloat16(), target, "dice"), exact)


def test_another_resolution_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\).*\(2, 1, 8, 8\)"):
        segmentation_loss(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 4, 4), "dice")


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


def summary_of(built: SegmentationTask, logits: Tensor, target: Tensor) -> dict[str, np.ndarray]:
    everyone = torch.ones(len(logits), dtype=torch.bool)
    return {name: values.numpy() for name, values in built.summarize(logits, target, everyone).items()}


@pytest.mark.parametrize("classes", [1, 3])
def test_weighted_cross_entropy_and_focal_match_torch_and_monai(classes: int) -> None:
    from monai.losses import FocalLoss

    logits, target = sample(classes)
    weights = torch.tensor([0.5, 2.0, 1.0, 3.0][: classes + 1])
    if classes == 1:
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
        entropy = entropy[:, 0] * weights[target[:, 0].long()]
    else:
        entropy = torch.nn.functional.cross_entropy(logits, target[:, 0].long(), weight=weights, reduction="none")
    found = segmentation_loss(logits, target, "ce", weights=weights.tolist())
    torch.testing.assert_close(found, entropy.flatten(1).mean(1))
    theirs = FocalLoss(gamma=2.0, use_softmax=classes > 1, to_onehot_y=classes > 1, reduction="none")
    voxels = theirs(logits, target.float()).sum(1) if classes > 1 else theirs(logits, target.float())[:, 0]
    torch.testing.assert_close(segmentation_loss(logits, target, "focal"), voxels.flatten(1).mean(1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [1, 3])
def test_ignored_voxels_count_nowhere(classes: int, kind: str) -> None:
    """As if the image ended before them: the same loss, gradient and counts."""
    logits, target = sample(classes, shape=(6, 8))
    target[..., 5:] = 255
    logits.requires_grad_()
    loss = segmentation_loss(logits, target, kind)
    torch.testing.assert_close(loss, segmentation_loss(logits[..., :5], target[..., :5], kind))
    loss.sum().backward()
    assert not logits.grad[..., 5:].any()
    assert torch.isfinite(logits.grad).all()
    built, logits = task(classes), logits.detach()
    whole, part = summary_of(built, logits, target), summary_of(built, logits[..., :5], target[..., :5])
    assert all((whole[name] == part[name]).all() for name in part)


def test_an_image_of_ignored_voxels_teaches_nothing() -> None:
    for kind in KINDS:
        logits = torch.randn(1, 3, 4, 4, requires_grad=True)
        segmentation_loss(logits, torch.full((1, 1, 4, 4), 255, dtype=torch.uint8), kind).sum().backward()
        assert not logits.grad.any()


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
