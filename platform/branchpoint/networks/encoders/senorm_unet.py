"""The SE-Norm residual U-Net that won HECKTOR 2020 (Iantsen et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from branchpoint.networks.blocks import ConvUnit, ResidualUnit, crop, max_pool, up_conv
from branchpoint.networks.encoders.pyramid import Pyramid
from branchpoint.networks.normalization import Unit


class SENormUNet(Pyramid):
    """Encoder as :class:`RadiomicsUNet`, with three residual units at each deeper level; normalised decoder.

    Each decoder stage has two ConvUnits; what the inner stages give is mapped to W channels, enlarged linearly and
    added before the last ConvUnit. Published with width 24, depth 5 and unit ``senorm``.
    """

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        dimensions, unit, outputs = self.dimensions, self.config.unit, self.channels[level]
        first = ResidualUnit(dimensions, self.inputs(level) + extra, outputs, 3 if level else 7, unit)
        more = [ResidualUnit(dimensions, outputs, outputs, 3, unit) for _ in range(2 if level else 1)]
        return nn.Sequential(max_pool(dimensions), first, *more) if level else nn.Sequential(first, *more)

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        sides = self.decoder_channels[:-1] if step == len(self.skips) - 1 else ()
        below, channels = self.below(step) + extra, self.decoder_channels[step]
        return _DecoderStage(self.dimensions, below, channels, sides, self.config.unit)


class _DecoderStage(nn.Module):
    """Transposed convolution -> concatenation with the skip -> ConvUnit (-> plus side maps) -> ConvUnit."""

    def __init__(self, dimensions: int, below: int, channels: int, sides: tuple[int, ...], unit: Unit) -> None:
        super().__init__()
        self.up = up_conv(dimensions, below, channels)
        self.first = ConvUnit(dimensions, 2 * channels, channels, 3, unit)
        self.sides = nn.ModuleList(ConvUnit(dimensions, side, channels, 1, unit) for side in sides)
        self.second = ConvUnit(dimensions, channels, channels, 3, unit)
        self.mode = "trilinear" if dimensions == 3 else "bilinear"

    def forward(self, below: Tensor, skip: Tensor, path: list[Tensor]) -> Tensor:
        size = skip.shape[2:]
        x = self.first(torch.cat((crop(self.up(below), size), skip), dim=1))
        for i, side in enumerate(self.sides):
            factor = 2 ** (len(self.sides) - i)
            enlarged = F.interpolate(side(path[i + 1]), scale_factor=factor, mode=self.mode, align_corners=False)
            x = x + crop(enlarged, size)
        return self.second(x)
