"""Segmentation: a mask per sample, Dice losses and Dice scores.

Shapes: B samples, K foreground classes, [D,] H, W voxels. One class has one sigmoid channel; several have a softmax
over background and K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import SegmentationConfig
from branchpoint.datasets.cohort import IGNORED
from branchpoint.tasks.base import EPSILON, Summary, Task, mean_of_defined, mean_over_labelled, ratio
from branchpoint.tasks.native_metrics import entered, native_metrics
from branchpoint.tasks.segmentation_losses import (
    class_probabilities,
    dice_loss,
    foreground_classes,
    one_hot,
    segmentation_loss,
)

__all__ = ["SegmentationTask", "count_voxels", "dice_loss", "foreground_classes", "one_hot", "segmentation_loss"]

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Of overlap, predicted and truth."""


class SegmentationTask(Task):
    """A mask of K foreground classes.

    Metrics, with Dice = 2 |prediction and truth| / (|prediction| + |truth|) and the Jaccard index JI =
    |prediction and truth| / |prediction or truth|, of foreground classes (of all, without background):

    - ``dice``, ``ji``: mean over patients (of each patient's mean over classes). A class without voxels in a patient's
      truth has none there: it is left out and counted in ``n_empty``; NaN where nothing is left. An empty prediction
      of a mask that is there scores 0.
    - ``dice_aggregated``, ``ji_aggregated``: voxel counts summed over patients first, then the mean over classes
      (HECKTOR 2022); false positives in patients with an empty truth do count here.
    - ``n_empty``: number of empty truth masks (of each patient and class).
    - with several classes, ``dice_k`` and ``dice_aggregated_k`` for each class k.
    - where the Config ranks by them, ``miou`` and ``miou_aggregated``: as ``ji`` and ``ji_aggregated``, but with
      class 0 among the classes. ``miou`` is that of the code of Bhattarai et al. 2022: the mean over the
      labels in a picture's truth, then over pictures.

    Where the summary is of the files' own grids (:mod:`branchpoint.evaluation.native_scores`), also those of
    :func:`branchpoint.tasks.native_metrics.native_metrics`.

    Voxels of class :data:`branchpoint.datasets.cohort.IGNORED` count in no loss and no metric.
    """

    config_class = SegmentationConfig
    config: SegmentationConfig

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__(config)
        self.outputs = 1 if config.foreground_classes == 1 else config.foreground_classes + 1
        self.primary_metric = config.metric
        self.chance = 0.0
        self.first = 1 if config.background else 0
        self.counts_background = config.background and config.metric.startswith("miou")

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean of :func:`segmentation_loss` over labelled samples."""
        losses = segmentation_loss(
            logits, target, self.config.loss, background=self.config.background, weights=self.config.class_weights
        )
        return mean_over_labelled(losses, labelled)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid or softmax, (B, outputs, [D,] H, W)."""
        return class_probabilities(logits.float(), background=False)

    def logits(self, probabilities: Tensor) -> Tensor:
        """Log-odds of one channel, else logarithms."""
        return torch.logit(probabilities, EPSILON) if self.outputs == 1 else super().logits(probabilities)

    def pseudo_labels(self, logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """Class ids uint8 (B, 1, ...) where the largest probability reaches ``threshold``, else ``IGNORED``."""
        probability = self.probabilities(logits)
        if self.outputs == 1:
            ids, largest = (probability > 0.5).byte(), torch.maximum(probability, 1 - probability)
        else:
            largest, place = probability.max(1, keepdim=True)
            ids = place.byte()
        ids = torch.where(largest >= threshold, ids, IGNORED)
        return ids, (ids != IGNORED).flatten(1).any(1)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """Voxel counts int64 (B, K): ``overlap``, ``predicted``, ``truth``; and ``labelled`` (B,).

        A voxel is predicted where the sigmoid exceeds 0.5, or by the largest softmax class. Where class 0 counts
        beside the foreground, ``background`` int64 (B, 3) holds its three counts.
        """
        classes = foreground_classes(logits)
        ids = (logits > 0).to(target.dtype) if classes == 1 else logits.argmax(1, keepdim=True).to(target.dtype)
        ids = torch.where(target == IGNORED, IGNORED, ids)
        counted = classes + 1 - self.first
        counts = count_voxels(one_hot(ids, counted, self.first), one_hot(target, counted, self.first))
        if self.counts_background:
            empty = count_voxels(ids == 0, target == 0)
            counts["background"] = torch.cat([empty[name] for name in ("overlap", "predicted", "truth")], dim=1)
        return counts | {"labelled": labelled}

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        n_empty = float((summary["truth"][summary["labelled"]] == 0).sum())
        return {**self.metrics_at_once(summary), "n_empty": n_empty}

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All but ``n_empty``, for every resample at once."""
        weights = counts.astype(np.float64) * summary["labelled"]
        voxels = np.stack([summary[name] for name in ("overlap", "predicted", "truth")]).astype(np.float64)
        dice, of_class, dice_all, all_of_class = _scores(weights, voxels, _dice)
        ji, _, ji_all, _ = _scores(weights, voxels, _jaccard)
        values = {"dice": dice, "dice_aggregated": dice_all, "ji": ji, "ji_aggregated": ji_all}
        if self.counts_background and "background" in summary:
            voxels = np.concatenate([summary["background"].T[:, :, None].astype(np.float64), voxels], axis=2)
        if self.config.metric.startswith("miou"):
            known = voxels.shape[2] == self.config.foreground_classes + 1
            miou, _, miou_all, _ = _scores(weights, voxels, _jaccard)
            unknown = np.full(len(counts), np.nan)
            values |= {"miou": miou if known else unknown, "miou_aggregated": miou_all if known else unknown}
        if of_class.shape[1] > 1:
            for place in range(of_class.shape[1]):
                k = place + self.first
                values |= {f"dice_{k}": of_class[:, place], f"dice_aggregated_{k}": all_of_class[:, place]}
        return values | (native_metrics(weights, summary) if "hd95" in summary else {})

    def entered(self, summary: Summary, metric: str) -> int:
        """Samples with a lesion, without one, or all labelled ones, as the metric asks."""
        return entered(summary, metric)


def _dice(overlap: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return ratio(2 * overlap, predicted + truth)


def _jaccard(overlap: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return ratio(overlap, predicted + truth - overlap)


def _scores(
    weights: np.ndarray, voxels: np.ndarray, score: Score
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For R resamples (R, N) of N samples with three counts (3, N, K): mean over samples, the same of each class
    (R, K), mean over classes of summed counts, the same of each class."""
    overlap, predicted, truth = voxels
    present = truth > 0
    of_sample = np.where(present, score(overlap, predicted, truth), 0.0)
    any_present = present.any(1)
    per_sample = np.where(any_present, ratio(of_sample.sum(1), present.sum(1)), 0.0)
    mean = ratio(weights @ per_sample, (weights @ any_present))
    of_class = ratio(weights @ of_sample, weights @ present)
    aggregated = score(weights @ overlap, weights @ predicted, weights @ truth)
    aggregated[(weights @ truth) == 0] = np.nan
    return mean, of_class, mean_of_defined(aggregated), aggregated


def count_voxels(prediction: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """``overlap``, ``predicted`` and ``truth``, int64 (B, K), of two bool (B, K, [D,] H, W)."""
    return {
        "overlap": (prediction & truth).flatten(2).sum(-1),
        "predicted": prediction.flatten(2).sum(-1),
        "truth": truth.flatten(2).sum(-1),
    }
