"""The U-Net (Ronneberger et al. 2015), and the U-Net with a transformer after its last encoder stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from branchpoint.networks.blocks import conv, crop, max_pool, up_conv
from branchpoint.networks.encoders.pyramid import Pyramid
from branchpoint.networks.normalization import Unit, normalization


class UNet(Pyramid):
    """Two convolutions at each level, in the encoder and in the decoder, each normalised and followed by ReLU.

    Published in 2D with width 64 and depth 5; convolutions are padded here, so that no border is lost.
    """

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        pair = conv_pair(self.dimensions, self.inputs(level) + extra, self.channels[level], self.config.unit)
        return nn.Sequential(max_pool(self.dimensions), pair) if level else pair

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        return _DecoderStage(self.dimensions, self.below(step) + extra, self.decoder_channels[step], self.config.unit)


class TransformerUNet(UNet):
    """A U-Net whose deepest encoder stage ends in transformer layers, a hybrid that Bui et al. 2024 compare with.

    Two layers of pre-norm self-attention over all voxels of the deepest level, with heads of 32 channels (or one
    head where there are fewer). Positions enter through a depth-wise convolution, which works at any size.
    """

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        stage = super().encoder_stage(level, extra)
        deepest = level == len(self.channels) - 1
        return nn.Sequential(stage, _Transformer(self.dimensions, self.channels[level])) if deepest else stage


def conv_pair(dimensions: int, inputs: int, outputs: int, unit: Unit) -> nn.Sequential:
    """Twice convolution -> normalisation -> ReLU; no bias, which the normalisation would cancel."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [conv(dimensions, channels, outputs, 3, bias=False), normalization(unit, outputs, dimensions)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class _DecoderStage(nn.Module):
    """Transposed convolution -> concatenation with the skip -> two convolutions."""

    def __init__(self, dimensions: int, below: int, channels: int, unit: Unit) -> None:
        super().__init__()
        self.up = up_conv(dimensions, below, channels)
        self.convs = conv_pair(dimensions, 2 * channels, channels, unit)

    def forward(self, below: Tensor, skip: Tensor, path: list[Tensor]) -> Tensor:
        return self.convs(torch.cat((crop(self.up(below), skip.shape[2:]), skip), dim=1))


class _Transformer(nn.Module):
    def __init__(self, dimensions: int, channels: int, layers: int = 2) -> None:
        super().__init__()
        depthwise = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.position = depthwise(channels, channels, 3, padding=1, groups=channels)
        heads = max(channels // 32, 1)
        layer = nn.TransformerEncoderLayer(
            channels, heads, 4 * channels, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = (x + self.position(x)).flatten(2).transpose(1, 2)
        return self.layers(tokens).transpose(1, 2).reshape(x.shape)
