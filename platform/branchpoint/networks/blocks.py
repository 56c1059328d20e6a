"""Blocks that the encoders have in common, for images of two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from branchpoint.networks.normalization import Unit, normalization


def conv(dimensions: int, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> nn.Module:
    """A convolution with padding that keeps the size (divided by ``stride``, rounded up)."""
    layer = nn.Conv3d if dimensions == 3 else nn.Conv2d
    return layer(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)


def up_conv(dimensions: int, inputs: int, outputs: int) -> nn.Module:
    """A transposed convolution of kernel 3 and stride 2 that doubles the size."""
    layer = nn.ConvTranspose3d if dimensions == 3 else nn.ConvTranspose2d
    return layer(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


def max_pool(dimensions: int) -> nn.Module:
    """Maximum over 2 voxels along each axis; odd sizes are rounded up, so that no voxel is lost."""
    return nn.MaxPool3d(2, ceil_mode=True) if dimensions == 3 else nn.MaxPool2d(2, ceil_mode=True)


def crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first voxels of ``x`` (B, C, ...) along each axis, so that its spatial size is ``size``."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return x[(slice(None), slice(None), *(slice(length) for length in size))]


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """``x`` (B, C, ...) at spatial ``size``: means where it shrinks, linear interpolation where it grows."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    if all(new <= old for new, old in zip(size, x.shape[2:], strict=True)):
        return F.interpolate(x, size=tuple(size), mode="area")
    return F.interpolate(x, size=tuple(size), mode="trilinear" if x.ndim == 5 else "bilinear", align_corners=False)


def global_average(x: Tensor) -> Tensor:
    """Mean over space: (B, C, ...) to (B, C)."""
    return x.mean(dim=tuple(range(2, x.ndim)))


class ConvUnit(nn.Module):
    """Convolution with bias -> ReLU -> normalisation (the order of Iantsen et al. 2021)."""

    def __init__(self, dimensions: int, inputs: int, outputs: int, kernel: int, unit: Unit) -> None:
        super().__init__()
        self.conv = conv(dimensions, inputs, outputs, kernel)
        self.norm = normalization(unit, outputs, dimensions)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.relu(self.conv(x)))


class ResidualUnit(nn.Module):
    """A ConvUnit plus its input; a 1x1 ConvUnit brings the input to ``outputs`` channels where they differ.

    No activation follows the sum (Iantsen et al. 2021; Andrearczyk et al. 2021 build on it).
    """

    def __init__(self, dimensions: int, inputs: int, outputs: int, kernel: int, unit: Unit) -> None:
        super().__init__()
        self.body = ConvUnit(dimensions, inputs, outputs, kernel, unit)
        self.skip = nn.Identity() if inputs == outputs else ConvUnit(dimensions, inputs, outputs, 1, unit)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.skip(x)
