"""The SE-Norm residual U-Net that won HECKTOR 2020 (Iantsen et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from branchpoint.config import NetworkConfig
from branchpoint.networks.blocks import ConvUnit, ResidualUnit, crop, max_pool, up_conv
from branchpoint.networks.heads import DenseHead


class SENormUNet:
    """Encoder as :class:`RadiomicsUNet`, with three residual units at each deeper level; normalised decoder.

    Each decoder stage has two ConvUnits; what the inner stages give is mapped to W channels, enlarged linearly and
    added before the last ConvUnit. Published with width 24, depth 5 and unit ``senorm``.
    """

    def __init__(self, config: NetworkConfig, dimensions: int) -> None:
        self.config, self.dimensions = config, dimensions
        self.channels = tuple(config.width * 2**level for level in range(config.depth))
        self.skips = tuple(range(config.depth - 2, -1, -1))
        self.decoder_channels = tuple(self.channels[level] for level in self.skips)

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        dimensions, unit, outputs = self.dimensions, self.config.unit, self.channels[level]
        inputs = (self.channels[level - 1] if level else self.config.in_channels) + extra
        more = [ResidualUnit(dimensions, outputs, outputs, 3, unit) for _ in range(2 if level else 1)]
        if not level:
            return nn.Sequential(ResidualUnit(dimensions, inputs, outputs, 7, unit), *more)
        return nn.Sequential(max_pool(dimensions), ResidualUnit(dimensions, inputs, outputs, 3, unit), *more)

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        below = self.channels[self.skips[step] + 1] + extra
        sides = self.decoder_channels[:-1] if step == len(self.skips) - 1 else ()
        return _DecoderStage(self.dimensions, below, self.decoder_channels[step], sides, self.config)

    def dense_head(self, outputs: int, extra: int) -> DenseHead:
        return DenseHead(self.dimensions, self.channels[0] + extra, outputs)


class _DecoderStage(nn.Module):
    """Transposed convolution -> concatenation with the skip -> ConvUnit (-> plus side maps) -> ConvUnit."""

    def __init__(
        self, dimensions: int, below: int, channels: int, sides: tuple[int, ...], config: NetworkConfig
    ) -> None:
        super().__init__()
        self.up = up_conv(dimensions, below, channels)
        self.first = ConvUnit(dimensions, 2 * channels, channels, 3, config.unit)
        self.sides = nn.ModuleList(ConvUnit(dimensions, side, channels, 1, config.unit) for side in sides)
        self.second = ConvUnit(dimensions, channels, channels, 3, config.unit)
        self.mode = "trilinear" if dimensions == 3 else "bilinear"

    def forward(self, below: Tensor, skip: Tensor, path: list[Tensor]) -> Tensor:
        size = skip.shape[2:]
        x = self.first(torch.cat((crop(self.up(below), size), skip), dim=1))
        for i, side in enumerate(self.sides):
            factor = 2 ** (len(self.sides) - i)
            enlarged = F.interpolate(side(path[i + 1]), scale_factor=factor, mode=self.mode, align_corners=False)
            x = x + crop(enlarged, size)
        return self.second(x)
