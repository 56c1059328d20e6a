"""Losses of masks against MONAI, torch and closed forms; empty masks, missing labels and ignored voxels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.tasks.segmentation import dice_loss, segmentation_loss
from branchpoint.tasks.segmentation_losses import KINDS, tversky_loss
from tests.tasks.segmentation_samples import sample, summary_of, task


def monai_options(classes: int) -> dict[str, Any]:
    """What our losses are in MONAI's words: a sigmoid, or a softmax whose background is left out."""
    several = classes > 1
    kind = {"sigmoid": not several, "softmax": several, "to_onehot_y": several, "include_background": not several}
    return {**kind, "smooth_nr": 0.0, "smooth_dr": 0.0, "reduction": "none"}


@pytest.mark.parametrize("shape", [(5, 6, 7), (8, 9)])
@pytest.mark.parametrize("classes", [1, 3])
def test_dice_loss_matches_monai(classes: int, shape: tuple[int, ...]) -> None:
    from monai.losses import DiceLoss

    logits, target = sample(classes, shape=shape)
    theirs = DiceLoss(**monai_options(classes))(logits, target.float())
    torch.testing.assert_close(segmentation_loss(logits, target, "dice"), theirs.flatten(1).mean(1))


@pytest.mark.parametrize("classes", [1, 3])
def test_tversky_loss_matches_monai(classes: int) -> None:
    from monai.losses import TverskyLoss

    logits, target = sample(classes)
    theirs = TverskyLoss(alpha=0.3, beta=0.7, **monai_options(classes))(logits, target.float())
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
