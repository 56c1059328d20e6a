"""Regression of the signed distance to a mask's surface, voxel by voxel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from branchpoint.config import DistanceMapConfig
from branchpoint.datasets.batch import Batch
from branchpoint.datasets.cohort import IGNORED
from branchpoint.tasks.base import Summary, Task, explained_share, mean_over_labelled, ratio
from branchpoint.tasks.regression import explained


class DistanceMapTask(Task):
    """Signed distance in units of ``limit_voxels``, from -1 (far outside) to 1 (deep inside).

    Metrics over voxels of all samples: ``r2`` (1 - squared error / variance of the truth; NaN where it does not vary),
    and ``mae`` and ``rmse`` in voxels of the prepared grid.
    """

    config_class = DistanceMapConfig
    config: DistanceMapConfig
    primary_metric = "r2"
    chance = 0.0

    def __init__(self, config: DistanceMapConfig) -> None:
        super().__init__(config)
        self.outputs = config.foreground_classes

    def share(self, value: float) -> float:
        """R2 has no lower bound."""
        return explained_share(value)

    @torch.no_grad()
    def target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """float32 (B, K, [D,] H, W), NaN where a voxel without a class may be nearer than the surface; bool (B,)."""
        masks, labelled = super().target(batch)
        limit = self.config.limit_voxels
        maps = np.full((len(masks), self.outputs, *masks.shape[2:]), -1.0, np.float32)
        for row, mask in enumerate(masks[:, 0].cpu().numpy()):
            if labelled[row]:
                for k in range(self.outputs):
                    maps[row, k] = signed_distance(mask, k + 1, limit) / limit
        return torch.from_numpy(maps).to(masks.device), labelled

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean over labelled samples of the mean over voxels whose distance is known."""
        known = ~target.isnan()
        prediction, truth = logits.float(), target.nan_to_num(0.0)
        if self.config.loss == "smooth_l1":
            error = smooth_l1_loss(prediction, truth, reduction="none", beta=1 / self.config.limit_voxels)
        else:
            error = prediction - truth
            error = error.square() if self.config.loss == "mse" else error.abs()
        return mean_over_labelled(_over_known(error, known), labelled)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """Means over known voxels, float32 (B,), in units of the limit: ``squared_error``, ``absolute_error``,
        ``mean`` and ``square`` of the truth; ``labelled``; and ``known`` (B,), whether any voxel is."""
        known = ~target.isnan()
        truth = target.nan_to_num(0.0)
        error = logits.float() - truth
        return {
            "squared_error": _over_known(error.square(), known),
            "absolute_error": _over_known(error.abs(), known),
            "mean": _over_known(truth, known),
            "square": _over_known(truth.square(), known),
            "known": known.flatten(1).any(1),
            "labelled": labelled,
        }

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        return self.metrics_at_once(summary)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics, for every resample at once."""
        weights = counts.astype(np.float64) * (summary["labelled"] & summary["known"])
        names = ("square", "mean", "squared_error", "absolute_error")
        square, mean, squared, absolute = (weights @ summary[name].astype(np.float64) for name in names)
        count, limit = weights.sum(1), self.config.limit_voxels
        return {
            "r2": explained(square, mean, squared, count),
            "mae": ratio(absolute, count) * limit,
            "rmse": np.sqrt(ratio(squared, count)) * limit,
        }


def signed_distance(mask: np.ndarray, class_id: int, limit_voxels: float) -> np.ndarray:
    """Distance of each voxel's centre to the surface of a class, half a voxel from the centres beside it.

    Args:
        mask: class ids ([D,] H, W).
        class_id: whose surface.
        limit_voxels: where distances are cut off; an absent class is that far away everywhere.

    Returns:
        float64 ([D,] H, W) in voxels, positive inside. NaN where the class is
        :data:`~branchpoint.datasets.cohort.IGNORED`, or such a voxel is nearer than the surface.
    """
    from scipy.ndimage import distance_transform_edt

    def to_nearest(there: np.ndarray) -> np.ndarray:
        found = distance_transform_edt(~there) if there.any() else np.full(mask.shape, np.inf)
        return np.minimum(np.asarray(found) - 0.5, limit_voxels)

    inside, unknown = mask == class_id, mask == IGNORED
    distance = np.where(inside, to_nearest(~inside & ~unknown), -to_nearest(inside))
    if unknown.any():
        distance[unknown | (to_nearest(unknown) < np.abs(distance))] = np.nan
    return distance


def _over_known(values: Tensor, known: Tensor) -> Tensor:
    """(B,): mean of ``values`` (B, ...) over what is ``known``; 0 where nothing is."""
    return torch.where(known, values, 0.0).flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)
