"""HOG regression: an auxiliary task that every picture teaches (Bhattarai et al. 2022)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import HogConfig
from branchpoint.datasets.batch import Batch
from branchpoint.tasks.base import ComputedTarget, Summary, explained_share, mean_over_labelled, ratio
from branchpoint.tasks.hog_descriptor import descriptor_shape, hog

LEVELS_OF_8_BITS = 255 * 256
"""Steps that intensities are rounded to: 8-bit values stay what they are, and a region that is flat but for the
rounding of an interpolation becomes flat, where normalised blocks would show that rounding at full scale."""


class HogTask(ComputedTarget):
    """The descriptor of the picture as the network sees it, after augmentation.

    A head may give several predictions (one from each decoder level): the loss is the sum of their mean squared
    errors, as in the released code, and the metrics are those of their mean.

    Metrics: ``mse``, the mean over values and pictures; ``explained``, 1 - mse / mean square of the target: 0 is what
    zeros get, 1 perfect; NaN for zero targets.
    """

    config_class = HogConfig
    config: HogConfig
    primary_metric = "explained"
    chance = 0.0

    def __init__(self, config: HogConfig) -> None:
        super().__init__(config)
        self.outputs = math.prod(descriptor_shape(config.orientations, config.cell, config.window))

    def share(self, value: float) -> float:
        """``explained`` has no lower bound."""
        return explained_share(value)

    @torch.no_grad()
    def target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """float32 (B, outputs), and True for every picture."""
        image = batch.inputs["image"]
        known = torch.ones(len(image), dtype=torch.bool, device=image.device)
        if self.config.zero_target:
            return image.new_zeros(len(image), self.outputs, dtype=torch.float32), known
        if "intensity_scale" in batch.inputs:
            scale, offset = (batch.inputs[f"intensity_{name}"][:, :, None, None] for name in ("scale", "offset"))
            image = torch.addcmul(offset, image.float(), scale)
        image = (image * LEVELS_OF_8_BITS).round() / LEVELS_OF_8_BITS
        return hog(image, self.config.orientations, self.config.cell, self.config.window).float(), known

    def loss(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """Mean squared error of logits (B, outputs), or (B, levels, outputs), summed over levels."""
        levels = logits.float().reshape(len(logits), -1, self.outputs)
        return mean_over_labelled((levels - target[:, None]).square().mean(2).sum(1), labelled)

    def summarize(self, logits: Tensor, target: Tensor, labelled: Tensor) -> dict[str, Tensor]:
        """``squared_error`` and ``energy`` (mean square of the target), float32 (B,), and ``labelled``."""
        mean = logits.float().reshape(len(logits), -1, self.outputs).mean(1)
        return {
            "squared_error": (mean - target).square().mean(1),
            "energy": target.square().mean(1),
            "labelled": labelled,
        }

    def metrics(self, summary: Summary) -> dict[str, float]:
        """As the class says."""
        return self.metrics_at_once(summary)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Both metrics, for every resample at once."""
        weights = counts.astype(np.float64) * summary["labelled"]
        error, energy = (weights @ summary[name].astype(np.float64) for name in ("squared_error", "energy"))
        explained = np.where(energy > 0, 1 - ratio(error, energy), np.nan)
        return {"mse": ratio(error, weights.sum(1)), "explained": explained}
