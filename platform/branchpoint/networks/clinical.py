"""Clinical values on their way into image-level heads: standardised, missing ones replaced and marked."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ClinicalValues(nn.Module):
    """Raw values (B, F), NaN where missing, to numbers (B, 2 F).

    The first half is (value - mean) / deviation over the training patients, 0 (their mean) where missing or where they
    do not vary; the second is 1 where missing, but stays 0 for a value that no training patient lacked: nothing could
    be learned of its absence. The statistics are part of the network's weights, so that a new patient is treated
    like a training patient wherever the network goes.
    """

    mean: Tensor
    scale: Tensor
    can_lack: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        for name in ("mean", "scale", "can_lack"):
            self.register_buffer(name, torch.zeros(count))

    @torch.no_grad()
    def fit(self, values: Tensor) -> None:
        """Take mean and deviation of the training patients' ``values`` (N, F)."""
        known = ~values.isnan()
        count = known.sum(0).clamp(min=1)
        mean = torch.where(known, values, 0.0).sum(0) / count
        variance = torch.where(known, values - mean, 0.0).square().sum(0) / count
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(variance > 0, variance.rsqrt(), 0.0))
        self.can_lack.copy_(~known.all(0))

    def forward(self, values: Tensor) -> Tensor:
        missing = values.isnan()
        standardised = torch.where(missing, 0.0, (values - self.mean) * self.scale)
        return torch.cat((standardised, missing * self.can_lack), dim=1)
