"""Losses of masks: Dice, Tversky, (weighted) cross-entropy, focal, and sums of two.

Shapes: B samples, K foreground classes, [D,] H, W voxels. Class ids :data:`branchpoint.datasets.cohort.IGNORED` count
nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from branchpoint.config.tasks.dense import MaskLoss
from branchpoint.datasets.cohort import IGNORED

FOCAL_GAMMA = 2.0
FOCAL_CLAMP = 1e-3
TVERSKY_FALSE_POSITIVE, TVERSKY_FALSE_NEGATIVE = 0.3, 0.7
KINDS: tuple[str, ...] = get_args(MaskLoss)


def dice_loss(probability: Tensor, truth: Tensor, *, squared: bool = False, smooth: float = 0.0) -> Tensor:
    """1 - (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth), for each sample and class.

    This is equation 1 of Andrearczyk et al. 2021, plus 1.

    The paper's -Dice has the same gradient but is negative, and the balancing methods that divide by a loss or take
    its logarithm need positive losses. Without smoothing, as in the paper, an empty ``truth`` gives exactly 1 with
    zero gradient: such a sample teaches nothing. Where empty masks matter use ``dice_ce`` or ``dice_focal``, whose
    other half (and smoothing) penalises false positives.

    Args:
        probability: float32 (B, K, [D,] H, W) in [0, 1].
        truth: bool, the same shape.
        squared: square the probabilities in the denominator.
        smooth: added to numerator and denominator.

    Returns:
        (B, K) in [0, 1].
    """
    p, y = probability.flatten(2), truth.flatten(2)
    overlap = (p * y).sum(-1)
    total = (p.square() if squared else p).sum(-1) + y.sum(-1)
    # 0 / 0 (nothing predicted, nothing there, no smoothing) must be the loss of an empty mask, not NaN.
    return 1 - (2 * overlap + smooth) / (total + smooth).clamp(min=torch.finfo(p.dtype).tiny)


def tversky_loss(
    probability: Tensor,
    truth: Tensor,
    *,
    false_positive: float = TVERSKY_FALSE_POSITIVE,
    false_negative: float = TVERSKY_FALSE_NEGATIVE,
) -> Tensor:
    """1 - sum(p y) / (sum(p y) + a sum(p (1 - y)) + b sum((1 - p) y)), for each sample and class.

    One minus the Tversky index T(a, b) of Salehi et al. 2017, whose best recall against precision for small lesions is
    at a = 0.3 and b = 0.7; a = b = 0.5 is :func:`dice_loss`. As there, an empty ``truth`` gives 1 without gradient.

    Args:
        probability: float32 (B, K, [D,] H, W) in [0, 1].
        truth: bool, the same shape.
        false_positive: a, the weight of what is predicted outside ``truth``.
        false_negative: b, the weight of what is missed.

    Returns:
        (B, K) in [0, 1].
    """
    p, y = probability.flatten(2), truth.flatten(2)
    overlap = (p * y).sum(-1)
    wrong = false_positive * (p * ~y).sum(-1) + false_negative * ((1 - p) * y).sum(-1)
    return 1 - overlap / (overlap + wrong).clamp(min=torch.finfo(p.dtype).tiny)


def segmentation_loss(
    logits: Tensor, target: Tensor, kind: str, *, background: bool = True, weights: Sequence[float] = ()
) -> Tensor:
    """Loss of each sample, float32 (B,); 0 for one without a voxel that counts (Dice and Tversky: 1, no gradient).

    - ``dice``: :func:`dice_loss` of Andrearczyk et al. 2021, averaged over the K foreground classes (over all,
      without background).
    - ``ce``: voxel mean of weight[class] * cross-entropy, divided by the number of voxels, not the sum of weights.
    - ``focal``: voxel mean of -(1 - p)^2 log p, p the probability of the true class (Lin et al. 2017).
    - ``tversky``: :func:`tversky_loss`, averaged over classes as ``dice`` is.
    - ``dice_ce``, ``tversky_ce``: the sum of both.
    - ``dice_focal``: Iantsen et al. (HECKTOR 2020 winner): Dice with squared probabilities and smoothing 1, plus
      ``focal`` with p clamped to [0.001, 0.999].

    Args:
        logits: (B, 1, [D,] H, W), or (B, K + 1, [D,] H, W) for K > 1.
        target: class ids (B, 1, [D,] H, W).
        kind: one of these.
        background: class 0 is background.
        weights: of classes 0 to K.

    Raises:
        ValueError: logits and target differ in shape, or there is no such loss.
    """
    if logits.shape[2:] != target.shape[2:] or len(logits) != len(target) or target.shape[1] != 1:
        raise ValueError(
            f"target has shape {tuple(target.shape)}: logits {tuple(logits.shape)} need "
            f"{(len(logits), 1, *logits.shape[2:])}, class ids at the logits' resolution"
        )
    if kind not in KINDS:
        raise ValueError(f"loss is {kind!r}: give one of {', '.join(map(repr, KINDS))}")
    logits, counts = logits.float(), target != IGNORED
    loss = logits.new_zeros(len(logits))
    if kind.startswith(("dice", "tversky")):
        probability = class_probabilities(logits, background) * counts
        truth = one_hot(target, probability.shape[1], first=1 if background else 0)
        iantsens = kind == "dice_focal"
        if kind.startswith("tversky"):
            loss = tversky_loss(probability, truth).mean(1)
        else:
            loss = dice_loss(probability, truth, squared=iantsens, smooth=float(iantsens)).mean(1)
    if kind in ("dice", "tversky"):
        return loss
    log_likelihood = _true_class_log_probability(logits, target)
    per_voxel = -log_likelihood
    if "focal" in kind:
        p = log_likelihood.exp()
        p = p.clamp(FOCAL_CLAMP, 1 - FOCAL_CLAMP) if kind == "dice_focal" else p
        per_voxel = (1 - p) ** FOCAL_GAMMA * -(p.log() if kind == "dice_focal" else log_likelihood)
    elif weights:
        of_class = torch.tensor(weights, device=logits.device)
        per_voxel = per_voxel * of_class[torch.where(counts, target, 0)[:, 0].long()]
    inside = counts[:, 0].flatten(1)
    return loss + torch.where(inside, per_voxel.flatten(1), 0.0).sum(1) / inside.sum(1).clamp(min=1)


def class_probabilities(logits: Tensor, background: bool) -> Tensor:
    """(B, K, ...) of the foreground classes, or (B, K + 1, ...) of all where none is background."""
    if logits.shape[1] == 1:
        return logits.sigmoid()
    probability = logits.softmax(1)
    return probability[:, 1:] if background else probability


def foreground_classes(logits: Tensor) -> int:
    """K of logits with 1 or K + 1 channels."""
    return max(logits.shape[1] - 1, 1)


def one_hot(target: Tensor, classes: int, first: int = 1) -> Tensor:
    """bool (B, classes, [D,] H, W): where class ids ``target`` (B, 1, [D,] H, W) are ``first``, first + 1, ..."""
    ids = torch.arange(first, first + classes, device=target.device, dtype=target.dtype)
    return target == ids.view(1, -1, *[1] * (target.ndim - 2))


def _true_class_log_probability(logits: Tensor, target: Tensor) -> Tensor:
    """(B, [D,] H, W); 0 or another number without gradient where a voxel does not count."""
    if logits.shape[1] == 1:
        return F.logsigmoid(torch.where(target[:, 0] == 1, logits[:, 0], -logits[:, 0]))
    return -F.cross_entropy(logits, target[:, 0].long(), reduction="none", ignore_index=IGNORED)
