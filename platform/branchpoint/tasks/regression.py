"""Regression of a number per sample, and of the image itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import ReconstructionConfig, RegressionConfig
from branchpoint.datasets.batch import UNCHANGED_IMAGE, Batch
from branchpoint.tasks.base import ComputedTarget, Summary, Task, explained_share, mean_over_labelled, ratio


def explained(squares: np.ndarray, total: np.ndarray, error: np.ndarray, count: np.ndarray) -> np.ndarray:
    """1 - error / variance, from sums over ``count`` values; NaN where these do not vary."""
    variance = ratio(squares, count) - ratio(total, count) ** 2
    # What is left of equal numbers by rounding is no variance.
    real = variance > 1e-12 * np.maximum(ratio(squares, count), np.finfo(np.float64).tiny)
    return np.where(real, 1 - ratio(ratio(error, count), variance), np.nan)


class RegressionTask(Task):
    """A number per sample.

    Metrics in units of the target: ``r2`` (1 - squared error / variance of the truth: 0 is what the mean gets; NaN
    where the truth does not vary), ``mae``, ``rmse``.
    """

    config_class = RegressionConfig
    config: RegressionConfig
    outputs = 1
    primary_metric = "r2"
    chance = 0.0

    def share(self, value: float) -> float:
        """R2 has no lower bound."""
        return explained_share(value)

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean over labelled samples of the squared or absolute error, in units of ``config.scale``."""
        error = logits[:, 0].float() - (target - self.config.center) / self.config.scale
        return mean_over_labelled(error.square() if self.config.loss == "mse" else error.abs(), labelled)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """``prediction`` and ``value``, float32 (B,), and ``labelled``."""
        prediction = self.config.center + self.config.scale * logits[:, 0].float()
        return {"prediction": prediction, "value": target, "labelled": labelled}

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        return self.metrics_at_once(summary)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics, for every resample at once."""
        weights = counts.astype(np.float64) * summary["labelled"]
        value = summary["value"].astype(np.float64)
        error, count = summary["prediction"] - value, weights.sum(1)
        centred = value - value[summary["labelled"]].mean() if summary["labelled"].any() else value
        squared = weights @ error**2
        return {
            "r2": explained(weights @ centred**2, weights @ centred, squared, count),
            "mae": ratio(weights @ np.abs(error), count),
            "rmse": np.sqrt(ratio(squared, count)),
        }


class ReconstructionTask(ComputedTarget):
    """The image as the network sees it (after augmentation, before noise), from the decoder.

    With skip connections from the first level it is easily copied; it asks more where the input is noisy, and where
    the image before its random changes of intensity is asked for (``restore``).

    Metrics over voxels of all samples, in units of normalised intensity: ``r2``, ``mse``, ``mae``.
    """

    config_class = ReconstructionConfig
    config: ReconstructionConfig
    primary_metric = "r2"
    chance = 0.0

    def __init__(self, config: ReconstructionConfig) -> None:
        super().__init__(config)
        self.outputs = config.channels

    def share(self, value: float) -> float:
        """R2 has no lower bound."""
        return explained_share(value)

    @property
    def restores_image(self) -> bool:
        return self.config.restore

    def target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The image, float32 (B, C, [D,] H, W), and True for every sample."""
        image = batch.inputs["image"]
        if self.restores_image:
            image = batch.inputs.get(UNCHANGED_IMAGE, image)
        return image.float(), torch.ones(len(image), dtype=torch.bool, device=image.device)

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean over samples of the mean squared or absolute error of their voxels."""
        error = logits.float() - target
        error = error.square() if self.config.loss == "mse" else error.abs()
        return mean_over_labelled(error.flatten(1).mean(1), labelled)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """Means over voxels, float32 (B,): ``squared_error``, ``absolute_error``, ``mean``, ``square``."""
        error, values = (logits.float() - target).flatten(1), target.flatten(1)
        return {
            "squared_error": error.square().mean(1),
            "absolute_error": error.abs().mean(1),
            "mean": values.mean(1),
            "square": values.square().mean(1),
            "labelled": labelled,
        }

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        return self.metrics_at_once(summary)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics, for every resample at once."""
        weights = counts.astype(np.float64) * summary["labelled"]
        names = ("square", "mean", "squared_error", "absolute_error")
        square, mean, squared, absolute = (weights @ summary[name].astype(np.float64) for name in names)
        count = weights.sum(1)
        return {
            "r2": explained(square, mean, squared, count),
            "mse": ratio(squared, count),
            "mae": ratio(absolute, count),
        }
