"""ResFormer with dilated feature enhancement (Bui et al. 2024), in two and three dimensions.

What the paper leaves open is chosen here: a stem of kernel 7 and stride 1 with normalisation and ReLU; one residual
block at each level; windows of ``config.window``; linear upsampling; decoder widths those of the level joined.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from branchpoint.config import NetworkConfig
from branchpoint.networks.blocks import conv, max_pool, resize
from branchpoint.networks.encoders.pyramid import Pyramid
from branchpoint.networks.encoders.swin import SwinStage
from branchpoint.networks.heads import DenseHead

DILATIONS = (6, 12, 18)


class ResFormer(Pyramid):
    """Levels at 1/2, 1/4, ... of the image, each a ResFormer block of 2 * 2**level attention heads.

    Published with width 64 and depth 4; taps (2, 3) give the multi-scale classification head. ``dilated_skips``
    refines what the decoder joins by dilated feature enhancement.

    Args:
        parallel: residual and Swin blocks get the same input and are summed; else one follows the other.
    """

    def __init__(self, config: NetworkConfig, dimensions: int, *, parallel: bool) -> None:
        super().__init__(config, dimensions)
        self.parallel = parallel

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        dimensions, channels = self.dimensions, self.channels[level]
        if level:
            entry = conv(dimensions, self.inputs(level) + extra, channels, 3, stride=2)
        else:
            entry = nn.Sequential(
                conv(dimensions, self.inputs(0) + extra, channels, 7, bias=False),
                batch_norm(dimensions, channels),
                nn.ReLU(inplace=True),
                max_pool(dimensions),
            )
        block = ResFormerBlock(dimensions, channels, 2 * 2**level, self.config.window, self.parallel)
        return nn.Sequential(entry, block)

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        first = self.channels[-1] if step == 0 and self.config.dilated_skips else None
        below, channels = self.below(step) + extra, self.decoder_channels[step]
        return _DecoderStage(self.dimensions, below, channels, first, self.config.dilated_skips)

    def dense_head(self, outputs: int, extra: int) -> nn.Module:
        return UpsampledHead(self.dimensions, self.decoder_channels[-1] + extra, outputs)


def batch_norm(dimensions: int, channels: int) -> nn.Module:
    """Batch normalisation for 2D or 3D images."""
    return nn.BatchNorm3d(channels) if dimensions == 3 else nn.BatchNorm2d(channels)


class BasicBlock(nn.Module):
    """ReLU(x + BN(conv(ReLU(BN(conv x))))): the block of ResNet34 (He et al. 2016; Bui et al. 2024, 3.1)."""

    def __init__(self, dimensions: int, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(dimensions, channels, channels, 3, bias=False)
        self.bn1 = batch_norm(dimensions, channels)
        self.conv2 = conv(dimensions, channels, channels, 3, bias=False)
        self.bn2 = batch_norm(dimensions, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class ResFormerBlock(nn.Module):
    """Sequential: Swin(residual(x)). Parallel: residual(x) + Swin(x) (Bui et al. 2024, 3.1)."""

    def __init__(self, dimensions: int, channels: int, heads: int, window: int, parallel: bool) -> None:
        super().__init__()
        self.residual = BasicBlock(dimensions, channels)
        self.swin = SwinStage(dimensions, channels, heads, window)
        self.parallel = parallel

    def forward(self, x: Tensor) -> Tensor:
        local = self.residual(x)
        return local + self.swin(x) if self.parallel else self.swin(local)


class DilatedEnhancement(nn.Module):
    """Three dilated convolutions in parallel, summed, then spatial attention (Bui et al. 2024, 3.2, eq. of DFE)."""

    def __init__(self, dimensions: int, channels: int) -> None:
        super().__init__()
        layer = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.branches = nn.ModuleList(
            nn.Sequential(
                layer(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
                batch_norm(dimensions, channels),
                conv(dimensions, channels, channels, 1, bias=False),
                batch_norm(dimensions, channels),
            )
            for dilation in DILATIONS
        )
        self.attention = conv(dimensions, 2, 1, 7, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(sum(branch(x) for branch in self.branches))
        pooled = torch.cat((y.amax(dim=1, keepdim=True), y.mean(dim=1, keepdim=True)), dim=1)
        return y * torch.sigmoid(self.attention(pooled))


class _DecoderStage(nn.Module):
    """Upsampling -> concatenation with the (enhanced) skip -> convolution -> BN -> ReLU."""

    def __init__(self, dimensions: int, below: int, channels: int, first: int | None, enhanced: bool) -> None:
        super().__init__()
        self.first = first
        self.enhance_below = DilatedEnhancement(dimensions, first) if first else None
        self.enhance_skip = DilatedEnhancement(dimensions, channels) if enhanced else nn.Identity()
        self.conv = conv(dimensions, below + channels, channels, 3, bias=False)
        self.norm = batch_norm(dimensions, channels)

    def forward(self, below: Tensor, skip: Tensor, path: list[Tensor]) -> Tensor:
        if self.enhance_below is not None:
            # What joins by cascades and exchanges is not the encoder's: it passes by.
            own, extra = below[:, : self.first], below[:, self.first :]
            below = torch.cat((self.enhance_below(own), extra), dim=1)
        joined = torch.cat((resize(below, skip.shape[2:]), self.enhance_skip(skip)), dim=1)
        return torch.relu(self.norm(self.conv(joined)))


class UpsampledHead(DenseHead):
    """A 1x1 convolution, then linear upsampling to the image: the same as the other way round, and cheaper."""

    def forward(self, below: Tensor, path: list[Tensor], size: Sequence[int]) -> Tensor:
        return resize(self.conv(below), size)
