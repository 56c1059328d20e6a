"""the encoder and decoder of Andrearczyk et al. 2021 (fig. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from branchpoint.networks.blocks import ResidualUnit, conv, crop, max_pool, up_conv
from branchpoint.networks.encoders.pyramid import Pyramid


class RadiomicsUNet(Pyramid):
    """Residual encoder; light decoder with side maps.

    Level 0: residual unit of kernel 7, then of kernel 3. Deeper levels: maximum pooling, two residual units of
    kernel 3. The decoder has no normalisation and one convolution at each stage; what the inner stages give is
    mapped to W channels, enlarged and added to the last stage. Published with width 8 and depth 5.
    """

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        dimensions, unit, outputs = self.dimensions, self.config.unit, self.channels[level]
        units = (
            ResidualUnit(dimensions, self.inputs(level) + extra, outputs, 3 if level else 7, unit),
            ResidualUnit(dimensions, outputs, outputs, 3, unit),
        )
        return nn.Sequential(max_pool(dimensions), *units) if level else nn.Sequential(*units)

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        last = step == len(self.skips) - 1
        sides = self.decoder_channels[:-1] if last else ()
        return _DecoderStage(self.dimensions, self.below(step) + extra, self.decoder_channels[step], sides, last)


class _DecoderStage(nn.Module):
    """Transposed convolution -> concatenation with the skip -> convolution; the last stage adds the side maps."""

    def __init__(self, dimensions: int, below: int, channels: int, sides: tuple[int, ...], last: bool) -> None:
        super().__init__()
        self.up = up_conv(dimensions, below, channels)
        self.conv = conv(dimensions, 2 * channels, channels, 3)
        self.sides = nn.ModuleList(conv(dimensions, side, channels, 1) for side in sides)
        self.merge = conv(dimensions, channels, channels, 3) if last else None

    def forward(self, below: Tensor, skip: Tensor, path: list[Tensor]) -> Tensor:
        x = crop(torch.relu(self.up(below)), skip.shape[2:])
        x = torch.relu(self.conv(torch.cat((x, skip), dim=1)))
        if self.merge is None:
            return x
        for i, side in enumerate(self.sides):
            factor = 2 ** (len(self.sides) - i)
            x = x + crop(F.interpolate(torch.relu(side(path[i + 1])), scale_factor=factor), skip.shape[2:])
        return torch.relu(self.merge(x))
