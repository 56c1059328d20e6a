"""U2-Net (Qin et al. 2020): a U-Net whose every stage is a small U-Net, in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from branchpoint.config import NetworkConfig
from branchpoint.networks.blocks import conv, max_pool, resize
from branchpoint.networks.encoders.pyramid import Pyramid

HEIGHTS = (7, 6, 5, 4, 0, 0)
"""Height of the inner U-Net of each level; 0 is the dilated form, which keeps its size."""


class U2Net(Pyramid):
    """Six levels of residual U-blocks; a prediction from each decoder stage and from the deepest level, fused.

    Published with width 64 (44.0 M parameters for one class) and, as the small form, with every level of width 64
    and inner width 16 (1.13 M).
    """

    def __init__(self, config: NetworkConfig, dimensions: int, *, small: bool) -> None:
        super().__init__(config, dimensions)
        width, levels = config.width, len(HEIGHTS)
        if config.depth != levels:
            raise ValueError(f"network.depth is {config.depth}: U2-Net has {levels} levels; set it to {levels}")
        factors = (1,) * levels if small else (1, 2, 4, 8, 8, 8)
        self.channels = tuple(width * factor for factor in factors)
        self.decoder_channels = tuple(max(width * (factors[level - 1] if level else 1), 1) for level in self.skips)
        quarters = (1,) * levels if small else (2, 2, 4, 8, 16, 16)
        self.inner = tuple(max(width * quarter // 4, 1) for quarter in quarters)
        decoder_quarters = (1,) * levels if small else (1, 2, 4, 8, 16)
        self.decoder_inner = tuple(max(width * decoder_quarters[level] // 4, 1) for level in self.skips)

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        inputs = self.inputs(level) + extra
        block = UBlock(self.dimensions, HEIGHTS[level], inputs, self.inner[level], self.channels[level])
        return nn.Sequential(max_pool(self.dimensions), block) if level else block

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        level = self.skips[step]
        inputs = self.below(step) + extra + self.channels[level]
        inner, outputs = self.decoder_inner[step], self.decoder_channels[step]
        return _DecoderStage(UBlock(self.dimensions, HEIGHTS[level], inputs, inner, outputs))

    def dense_head(self, outputs: int, extra: int) -> nn.Module:
        return FusedHead(self.dimensions, (self.channels[-1], *self.decoder_channels), outputs, extra)


class _ConvUnit(nn.Sequential):
    """Convolution -> batch normalisation -> ReLU."""

    def __init__(self, dimensions: int, inputs: int, outputs: int, dilation: int = 1) -> None:
        layer, norm = (nn.Conv3d, nn.BatchNorm3d) if dimensions == 3 else (nn.Conv2d, nn.BatchNorm2d)
        super().__init__(
            layer(inputs, outputs, 3, padding=dilation, dilation=dilation), norm(outputs), nn.ReLU(inplace=True)
        )


class UBlock(nn.Module):
    """Residual U-block: conv(x) plus what an inner U-Net makes of it (Qin et al. 2020, fig. 2 and 3).

    Args:
        dimensions: 2 or 3.
        height: convolutions on the way down, with pooling between; 0 for the dilated form, which has four at
            dilations 1, 2, 4, 8 and no pooling.
        inputs: channels of the input.
        inner: channels inside.
        outputs: channels of the output.
    """

    def __init__(self, dimensions: int, height: int, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        dilated = height == 0
        height = height or 4
        down = [2**i for i in range(height)] if dilated else [1] * (height - 1) + [2]
        self.entry = _ConvUnit(dimensions, inputs, outputs)
        self.down = nn.ModuleList(
            _ConvUnit(dimensions, inner if i else outputs, inner, dilation) for i, dilation in enumerate(down)
        )
        up = down[-2::-1] if dilated else [1] * (height - 1)
        self.up = nn.ModuleList(
            _ConvUnit(dimensions, 2 * inner, inner if i < height - 2 else outputs, dilation)
            for i, dilation in enumerate(up)
        )
        self.pool = nn.Identity() if dilated else max_pool(dimensions)

    def forward(self, x: Tensor) -> Tensor:
        entry = self.entry(x)
        skips, x = [], entry
        last = len(self.down) - 1
        for i, unit in enumerate(self.down):
            x = unit(self.pool(x) if 0 < i < last else x)
            skips.append(x)
        for unit, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = unit(torch.cat((resize(x, skip.shape[2:]), skip), dim=1))
        return x + entry


class _DecoderStage(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, below: Tensor, skip: Tensor, path: list[Tensor]) -> Tensor:
        return self.block(torch.cat((resize(below, skip.shape[2:]), skip), dim=1))


class FusedHead(nn.Module):
    """A 3x3 convolution of the deepest level and of each decoder stage, resized, and a 1x1 convolution of all."""

    def __init__(self, dimensions: int, channels: Sequence[int], outputs: int, extra: int) -> None:
        super().__init__()
        self.own = channels[-1]
        self.sides = nn.ModuleList(conv(dimensions, count, outputs, 3) for count in channels)
        self.fuse = conv(dimensions, len(channels) * outputs + extra, outputs, 1)

    def forward(self, below: Tensor, path: list[Tensor], size: Sequence[int]) -> Tensor:
        maps = [resize(side(features), size) for side, features in zip(self.sides, path, strict=True)]
        extra = [resize(below[:, self.own :], size)] if below.shape[1] > self.own else []
        return self.fuse(torch.cat((*maps, *extra), dim=1))
