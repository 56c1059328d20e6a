"""Segmentation: a mask per sample, Dice losses and Dice scores.

Shapes: B samples, K foreground classes, [D,] H, W voxels. One class has one sigmoid channel; several have a softmax
over background and K classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from branchpoint.config import SegmentationConfig
from branchpoint.tasks.base import Summary, Task, mean_of_defined

FOCAL_GAMMA = 2.0
FOCAL_CLAMP = 1e-3


def dice_loss(probability: Tensor, truth: Tensor, *, squared: bool = False, smooth: float = 0.0) -> Tensor:
    """1 - (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth), for each sample and class (paper 003, eq. 1, plus 1).

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


def segmentation_loss(logits: Tensor, target: Tensor, kind: str) -> Tensor:
    """Loss of each sample, float32 (B,).

    ``dice``: :func:`dice_loss` of paper 003. ``dice_ce``: the same plus the voxel mean of the cross-entropy.
    ``dice_focal``: Iantsen et al. (HECKTOR 2020 winner): Dice with squared probabilities and smoothing 1, plus the
    voxel mean of the focal loss -(1 - p)^2 log p, p the probability of the true class clamped to [0.001, 0.999].
    Dice is averaged over the K foreground classes.

    Args:
        logits: (B, 1, [D,] H, W), or (B, K + 1, [D,] H, W) for K > 1.
        target: class ids (B, 1, [D,] H, W).
        kind: ``dice``, ``dice_ce`` or ``dice_focal``.

    Raises:
        ValueError: logits and target differ in shape.
    """
    if logits.shape[2:] != target.shape[2:] or len(logits) != len(target) or target.shape[1] != 1:
        raise ValueError(f"target has shape {tuple(target.shape)}: logits {tuple(logits.shape)} need "
                         f"{(len(logits), 1, *logits.shape[2:])}, class ids at the logits' resolution")  # fmt: skip
    logits = logits.float()
    truth = one_hot(target, foreground_classes(logits))
    probability = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1:]
    if kind == "dice":
        return dice_loss(probability, truth).mean(1)
    log_likelihood = _true_class_log_probability(logits, target)
    if kind == "dice_ce":
        return dice_loss(probability, truth).mean(1) - log_likelihood.flatten(1).mean(1)
    if kind == "dice_focal":
        p = log_likelihood.exp().clamp(FOCAL_CLAMP, 1 - FOCAL_CLAMP)
        focal = -((1 - p) ** FOCAL_GAMMA) * p.log()
        return dice_loss(probability, truth, squared=True, smooth=1.0).mean(1) + focal.flatten(1).mean(1)
    raise ValueError(f"loss is {kind!r}: give 'dice', 'dice_ce' or 'dice_focal'")


def foreground_classes(logits: Tensor) -> int:
    """K of logits with 1 or K + 1 channels."""
    return max(logits.shape[1] - 1, 1)


def one_hot(target: Tensor, classes: int) -> Tensor:
    """bool (B, K, [D,] H, W): where class ids ``target`` (B, 1, [D,] H, W) are 1, ..., K."""
    ids = torch.arange(1, classes + 1, device=target.device, dtype=target.dtype)
    return target == ids.view(1, -1, *[1] * (target.ndim - 2))


def _true_class_log_probability(logits: Tensor, target: Tensor) -> Tensor:
    """(B, [D,] H, W)."""
    if logits.shape[1] == 1:
        return F.logsigmoid(torch.where(target[:, 0] == 1, logits[:, 0], -logits[:, 0]))
    return -F.cross_entropy(logits, target[:, 0].long(), reduction="none")


class SegmentationTask(Task):
    """A mask of K foreground classes.

    Metrics, with Dice = 2 |prediction and truth| / (|prediction| + |truth|):

    - ``dice``: mean over patients (of each patient's mean over classes). A class without voxels in a patient's truth
      has no Dice there: it is left out and counted in ``n_empty``; NaN where nothing is left. An empty prediction of
      a mask that is there scores 0.
    - ``dice_aggregated``: voxel counts summed over patients first, then the mean over classes (HECKTOR 2022); false
      positives in patients with an empty truth do count here.
    - ``n_empty``: number of empty truth masks (of each patient and class).
    - with K > 1, ``dice_k`` and ``dice_aggregated_k`` for each class k from 1.
    """

    config: SegmentationConfig
    primary_metric = "dice"
    chance = 0.0

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__(config)
        self.outputs = 1 if config.foreground_classes == 1 else config.foreground_classes + 1

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean of :func:`segmentation_loss` over labelled samples."""
        losses = segmentation_loss(logits, target, self.config.loss)
        return torch.where(labelled, losses, 0.0).sum() / labelled.sum().clamp(min=1)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """Voxel counts int64 (B, K): ``overlap``, ``predicted``, ``truth``; and ``labelled`` (B,).

        A voxel is predicted where the sigmoid exceeds 0.5, or by the largest softmax class.
        """
        classes = foreground_classes(logits)
        ids = (logits > 0).to(target.dtype) if classes == 1 else logits.argmax(1, keepdim=True).to(target.dtype)
        return count_voxels(one_hot(ids, classes), one_hot(target, classes)) | {"labelled": labelled}

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        labelled = summary["labelled"]
        values = {name: float(value[0]) for name, value in self.resampled(summary, np.ones((1, len(labelled)))).items()}
        return {**values, "n_empty": float((summary["truth"][labelled] == 0).sum())}

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All but ``n_empty``, for every resample at once."""
        weights = counts.astype(np.float64) * summary["labelled"]
        overlap, predicted, truth = (summary[name].astype(np.float64) for name in ("overlap", "predicted", "truth"))
        present = truth > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            dice = np.where(present, 2 * overlap / (predicted + truth), 0.0)
            any_present = present.any(1)
            per_patient = np.where(any_present, dice.sum(1) / present.sum(1), 0.0)
            per_class = (weights @ dice) / (weights @ present)
            aggregated = 2 * (weights @ overlap) / (weights @ (predicted + truth))
            aggregated[(weights @ truth) == 0] = np.nan
            mean = (weights @ per_patient) / (weights @ any_present)
        values = {"dice": mean, "dice_aggregated": mean_of_defined(aggregated)}
        if dice.shape[1] > 1:
            for k in range(dice.shape[1]):
                values |= {f"dice_{k + 1}": per_class[:, k], f"dice_aggregated_{k + 1}": aggregated[:, k]}
        return values


def count_voxels(prediction: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """``overlap``, ``predicted`` and ``truth``, int64 (B, K), of two bool (B, K, [D,] H, W)."""
    return {
        "overlap": (prediction & truth).flatten(2).sum(-1),
        "predicted": prediction.flatten(2).sum(-1),
        "truth": truth.flatten(2).sum(-1),
    }
