"""Normalisation layers for images of two or three dimensions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Unit = Literal["senorm", "batchnorm", "instancenorm"]


def instance_normalize(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """``x`` (B, C, ...) with zero mean and unit variance over space, times ``weight`` (B, C) plus ``bias`` (B, C).

    One fused batch-norm kernel on (1, B * C, voxels): weight and bias differ from sample to sample at no extra pass
    over the volume. With the spatial axes left apart, torch 2.14 on the CPU gives wrong gradients, without a word, for
    a batch of one whose features and gradients differ in memory format (its own InstanceNorm3d too).

    Raises:
        ValueError: there is one voxel, so that every image would give zeros.
    """
    batch, channels = x.shape[:2]
    if x[0, 0].numel() == 1:
        raise ValueError(
            f"features have one voxel, of shape {tuple(x.shape)}: normalised over space they would be 0 for every "
            "image; use fewer levels (network.depth), larger images (dataset.size_voxels) or unit 'batchnorm'"
        )
    flat = x.reshape(1, batch * channels, -1).contiguous()
    weight, bias = (None if p is None else p.reshape(-1) for p in (weight, bias))
    y = torch.batch_norm(flat, weight, bias, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)
    return y.reshape(x.shape)


class Excitation(nn.Module):
    """Linear -> ReLU -> Linear on channel means (B, C), through a bottleneck of C / ``reduction``."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        bottleneck = max(channels // reduction, 1)
        self.squeeze = nn.Linear(channels, bottleneck)
        self.excite = nn.Linear(bottleneck, channels)

    def forward(self, means: Tensor) -> Tensor:
        return self.excite(torch.relu(self.squeeze(means)))


class SENorm(nn.Module):
    """Squeeze-and-excitation normalisation (Iantsen et al. 2021, eq. 2-4): y = gamma(x) IN(x) + beta(x).

    gamma = sigmoid(FC(GAP x)) and beta = tanh(FC(GAP x)), each with its own two-layer FC.

    Args:
        channels: C of the input (B, C, [D,] H, W).
        reduction: bottleneck of the FC layers is C / ``reduction``.
    """

    def __init__(self, channels: int, reduction: int = 2) -> None:
        super().__init__()
        self.gamma = Excitation(channels, reduction)
        self.beta = Excitation(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=tuple(range(2, x.ndim)))
        return instance_normalize(x, torch.sigmoid(self.gamma(means)), torch.tanh(self.beta(means)))


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and shift for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return instance_normalize(x, self.weight.expand(x.shape[0], -1), self.bias.expand(x.shape[0], -1))


def normalization(unit: Unit, channels: int, dimensions: int) -> nn.Module:
    """The normalisation called ``unit`` for ``channels`` channels of 2D or 3D images."""
    if unit == "senorm":
        return SENorm(channels)
    if unit == "instancenorm":
        return InstanceNorm(channels)
    return nn.BatchNorm3d(channels) if dimensions == 3 else nn.BatchNorm2d(channels)
