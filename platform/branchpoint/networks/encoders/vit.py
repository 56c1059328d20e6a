"""torchvision's vision transformer in stages that give maps, at any image size."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = 4


class _Layers(nn.Module):
    """Transformer layers on the voxels of (B, C, H, W)."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)


class _Patches(nn.Module):
    """Patch projection plus the position embedding, resized to the image's grid of patches."""

    def __init__(self, conv_proj: nn.Conv2d, embedding: Tensor) -> None:
        super().__init__()
        self.conv_proj = conv_proj
        patches = embedding[:, 1:]  # the first belongs to the class token, which maps have no place for
        side = math.isqrt(patches.shape[1])
        self.position = nn.Parameter(patches.detach().transpose(1, 2).reshape(1, -1, side, side).clone())

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_proj(x)
        return x + F.interpolate(self.position, size=x.shape[2:], mode="bicubic", align_corners=False)


def vit_levels(model: nn.Module) -> list[nn.Module]:
    """Four levels of equally many layers, all at the resolution of the patches; the last ends in the final norm."""
    encoder = model.get_submodule("encoder")
    layers = list(encoder.get_submodule("layers").children())
    count = len(layers) // STAGES
    parts = [layers[i * count : (i + 1) * count] for i in range(STAGES)]
    parts[-1].append(encoder.get_submodule("ln"))
    projection = model.get_submodule("conv_proj")
    if not isinstance(projection, nn.Conv2d):
        raise TypeError(f"conv_proj is {type(projection).__name__}: expected the convolution of torchvision's ViT")
    patches = _Patches(projection, torch.as_tensor(encoder.get_parameter("pos_embedding")))
    return [nn.Sequential(patches, _Layers(parts[0])), *(_Layers(part) for part in parts[1:])]
