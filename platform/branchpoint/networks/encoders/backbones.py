"""Classification networks of torchvision and timm as 2D encoders, with a U-Net decoder."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from branchpoint.config import NetworkConfig
from branchpoint.networks.blocks import conv, crop, resize
from branchpoint.networks.encoders.pyramid import Pyramid
from branchpoint.networks.encoders.timm_levels import is_timm, timm_levels
from branchpoint.networks.encoders.unet import conv_pair
from branchpoint.networks.encoders.vit import vit_levels
from branchpoint.networks.normalization import Unit

IMAGE = -1
RGB = 3


def level_count(name: str) -> int:
    """Number of levels of a network of torchvision or timm, which ``network.depth`` must be; nothing is allocated."""
    return len(_layout(name)[0])


class _ChannelsLast(nn.Module):
    """Channels-last layers on (B, C, H, W); the first of Swin's permutes by itself."""

    def __init__(self, layers: nn.Module, permute: bool) -> None:
        super().__init__()
        self.layers, self.permute = layers, permute

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.movedim(1, -1) if self.permute else x).movedim(-1, 1)


def _resnet_levels(model: nn.Module) -> list[nn.Module]:
    parts = dict(model.named_children())
    stem = nn.Sequential(parts["conv1"], parts["bn1"], parts["relu"])
    return [stem, nn.Sequential(parts["maxpool"], parts["layer1"]), parts["layer2"], parts["layer3"], parts["layer4"]]


def _inception_levels(model: nn.Module) -> list[nn.Module]:
    parts = {name: part for name, part in model.named_children() if name not in ("avgpool", "dropout", "fc")}
    starts = ["Conv2d_1a_3x3", "maxpool1", "maxpool2", "Mixed_6a", "Mixed_7a"]
    names = list(parts)
    ends = [*(names.index(start) for start in starts[1:]), len(names)]
    return [
        nn.Sequential(*(parts[name] for name in names[names.index(start) : end]))
        for start, end in zip(starts, ends, strict=True)
    ]


def _feature_levels(*ends: int) -> Callable[[nn.Module], list[nn.Module]]:
    def levels(model: nn.Module) -> list[nn.Module]:
        features = list(model.get_submodule("features").children())
        return [nn.Sequential(*features[i:j]) for i, j in zip((0, *ends), (*ends, len(features)), strict=True)]

    return levels


def _swin_levels(model: nn.Module) -> list[nn.Module]:
    return [_ChannelsLast(part, permute=i > 0) for i, part in enumerate(_feature_levels(2, 4, 6)(model))]


BACKBONES: dict[str, Callable[[nn.Module], list[nn.Module]]] = {
    **{f"resnet{layers}": _resnet_levels for layers in (18, 34, 50, 101)},
    **{f"efficientnet_b{size}": _feature_levels(2, 3, 4, 6) for size in range(5)},
    **{f"swin_{size}": _swin_levels for size in "tsb"},
    **{f"convnext_{size}": _feature_levels(2, 4, 6) for size in ("tiny", "small", "base")},
    "vit_b_16": vit_levels,
    "inception_v3": _inception_levels,
}
"""Name of a torchvision network to what cuts it into levels."""


class Backbone(Pyramid):
    """A network of torchvision or timm as encoder, with a U-Net decoder.

    The decoder has width W at the image, doubling with each stage below.

    Weights are random unless ``config.weights`` names a local file with torchvision's state dict; the first
    convolution is then averaged over colours where the image has other channels.
    """

    def __init__(self, config: NetworkConfig, dimensions: int) -> None:
        if dimensions != 2:
            raise ValueError(f"network.encoder is {config.encoder!r}: it takes 2D images, not {dimensions}D")
        self.config, self.dimensions = config, dimensions
        self.channels, self.strides = _layout(config.encoder)
        levels = len(self.channels)
        if config.depth != levels:
            raise ValueError(
                f"network.depth is {config.depth}: {config.encoder!r} has {levels} levels; set it to {levels}"
            )
        self.skips = (*range(levels - 2, -1, -1), IMAGE)
        self.decoder_channels = tuple(config.width * 2**i for i in reversed(range(levels)))
        self._unused: list[list[nn.Module | None]] = []

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        stage = self._take(level)
        if level:
            channels = self.channels[level - 1]
            return nn.Sequential(conv(2, channels + extra, channels, 1), stage) if extra else stage
        first = next(name for name, module in stage.named_modules() if isinstance(module, nn.Conv2d))
        stage.set_submodule(first, with_inputs(stage.get_submodule(first), self.config.in_channels, extra))
        return nn.Sequential(_Pad(self.strides[0]), stage)

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        level = self.skips[step]
        joined = self.channels[level] if level != IMAGE else 0
        factor = self.strides[0] if level == IMAGE else None
        below, channels = self.below(step) + extra, self.decoder_channels[step]
        return _DecoderStage(below + joined, channels, factor, self.config.unit)

    def _take(self, level: int) -> nn.Module:
        """The level of a model that has not been handed out; each model is built once for all its levels."""
        for levels in self._unused:
            stage = levels[level]
            if stage is not None:
                levels[level] = None
                return stage
        self._unused.append([*_levels(self.config.encoder, self.config.weights)])
        return self._take(level)


class _Pad(nn.Module):
    """Zeros at the far ends, so that ``multiple`` divides the size and no pixel is dropped."""

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor:
        height, width = ((-length) % self.multiple for length in x.shape[2:])
        return F.pad(x, (0, width, 0, height)) if height or width else x


class _DecoderStage(nn.Module):
    """Linear upsampling -> concatenation with the skip -> two convolutions; the last joins nothing."""

    def __init__(self, inputs: int, channels: int, factor: int | None, unit: Unit) -> None:
        super().__init__()
        self.factor = factor
        self.convs = conv_pair(2, inputs, channels, unit)

    def forward(self, below: Tensor, skip: Tensor, path: list[Tensor]) -> Tensor:
        size = skip.shape[2:]
        if self.factor is None:
            return self.convs(torch.cat((resize(below, size), skip), dim=1))
        enlarged = F.interpolate(below, scale_factor=self.factor, mode="bilinear", align_corners=False)
        padded = all(new >= old for new, old in zip(enlarged.shape[2:], size, strict=True))
        return self.convs(crop(enlarged, size) if padded else resize(enlarged, size))


def with_inputs(layer: nn.Module, channels: int, extra: int) -> nn.Conv2d:
    """``layer``, a convolution of RGB, for ``channels`` image channels and ``extra`` others.

    Other image channels than three get the mean of the colours, scaled so that the sum is kept; extra ones start at 0.
    """
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"layer is {type(layer).__name__}: expected a convolution")
    if (channels, extra) == (RGB, 0):
        return layer
    weight = layer.weight.detach()
    if channels != RGB:
        weight = weight.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1) * (RGB / channels)
    empty = weight.new_zeros(weight.shape[0], extra, *weight.shape[2:])
    wider = copy.deepcopy(layer)
    wider.in_channels = channels + extra
    wider.weight = nn.Parameter(torch.cat((weight, empty), dim=1))
    return wider


def _levels(name: str, weights: str) -> list[nn.Module]:
    if is_timm(name):
        return timm_levels(name, weights)
    from torchvision import models

    options = {"init_weights": True, "aux_logits": False, "transform_input": False} if name == "inception_v3" else {}
    model = models.get_model(name, weights=None, **options)
    if weights:
        if not Path(weights).is_file():
            raise ValueError(f"network.weights is {weights!r}: there is no such file")
        state = torch.load(weights, map_location="cpu", weights_only=True)
        auxiliary = [key for key in state if key.startswith("AuxLogits.")]
        model.load_state_dict({key: value for key, value in state.items() if key not in auxiliary})
    return BACKBONES[name](model)


@cache
def _layout(name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and strides of each level."""
    channels, strides, side = [], [], 224
    with torch.device("meta"):
        x = torch.empty(1, RGB, side, side)
        for level in _levels(name, ""):
            x = level.eval()(x)
            channels.append(x.shape[1])
            strides.append(2 ** round(math.log2(side / x.shape[2])))
    return tuple(channels), tuple(strides)
