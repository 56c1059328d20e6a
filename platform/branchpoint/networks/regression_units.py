"""Units that regress a long vector, such as a HOG descriptor, from maps (Bhattarai et al. 2022).

Both forms keep the spatial layout: convolutions and pooling, then one linear layer over all places. The paper flattens
maps of a fixed image size; here they are averaged to a fixed grid first, so that any image size works. At the published
size, 256 x 256, the grid is what the released code's pooling leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from branchpoint.networks.blocks import conv

RegressionUnit = Literal["light", "released"]
LIGHT_CHANNELS = 3
GRID = {2: 8, 3: 4}
BOTTLENECK_GRID = 4


def pool(dimensions: int, factor: int) -> nn.Module:
    """Maximum pooling; sizes are rounded up."""
    layer = nn.MaxPool3d if dimensions == 3 else nn.MaxPool2d
    return layer(factor, ceil_mode=True)


def flatten_to(dimensions: int, channels: int, grid: int, outputs: int) -> list[nn.Module]:
    """Means over a ``grid`` of places, flattened, to ``outputs`` numbers."""
    adaptive = nn.AdaptiveAvgPool3d(grid) if dimensions == 3 else nn.AdaptiveAvgPool2d(grid)
    return [adaptive, nn.Flatten(), nn.Linear(channels * grid**dimensions, outputs)]


def light_unit(dimensions: int, channels: int, outputs: int) -> nn.Sequential:
    """Twice convolution to 3 channels -> ReLU -> pooling by 2, then linear (Bhattarai et al. 2022, table 1)."""
    layers: list[nn.Module] = []
    for inputs in (channels, LIGHT_CHANNELS):
        layers += [conv(dimensions, inputs, LIGHT_CHANNELS, 3), nn.ReLU(), pool(dimensions, 2)]
    return nn.Sequential(*layers, *flatten_to(dimensions, LIGHT_CHANNELS, GRID[dimensions], outputs))


def released_level_unit(dimensions: int, channels: int, halvings: int, width: int, outputs: int) -> nn.Sequential:
    """The released code's unit for a decoder level ``halvings`` above the deepest.

    Convolutions to ``width`` channels (256 for U2-Net) with pooling by 4, and by 2 where one halving is left, down to
    the deepest level's size; with five halvings the first convolution has half the width.
    """
    factors = [4] * (halvings // 2) + [2] * (halvings % 2)
    layers: list[nn.Module] = []
    for i, factor in enumerate(factors or [1]):
        outs = max(width // 2, 1) if i == 0 and len(factors) > 2 else width
        layers += [conv(dimensions, channels, outs, 3), nn.ReLU()]
        layers += [pool(dimensions, factor)] if factor > 1 else []
        channels = outs
    return nn.Sequential(*layers, *flatten_to(dimensions, width, GRID[dimensions], outputs))


def released_bottleneck_unit(dimensions: int, channels: int, outputs: int) -> nn.Sequential:
    """The released code's unit for U-Net's bottleneck: channels halved twice, each time with pooling by 2."""
    half, quarter = max(channels // 2, 1), max(channels // 4, 1)
    layers: list[nn.Module] = []
    for inputs, outs in ((channels, half), (half, quarter)):
        layers += [conv(dimensions, inputs, outs, 3), nn.ReLU(), pool(dimensions, 2)]
    return nn.Sequential(*layers, *flatten_to(dimensions, quarter, BOTTLENECK_GRID, outputs))


class RegressionHead(nn.Module):
    """A unit on the bottleneck, or one on the bottleneck and each decoder stage.

    Args:
        dimensions: 2 or 3.
        channels: channels of the deepest encoder level and of each decoder stage (of the former alone for a task
            that passes no decoder).
        width: channels inside the released per-level units.
        outputs: length of the vector.
        unit: ``light`` (the paper's table) or ``released`` (the code published with it).
    """

    def __init__(
        self, dimensions: int, channels: Sequence[int], width: int, outputs: int, unit: RegressionUnit
    ) -> None:
        super().__init__()
        if unit == "light":
            units = [light_unit(dimensions, count, outputs) for count in channels]
        elif len(channels) == 1:
            units = [released_bottleneck_unit(dimensions, channels[0], outputs)]
        else:
            units = [
                released_level_unit(dimensions, count, halvings, width, outputs)
                for halvings, count in enumerate(channels)
            ]
        self.units = nn.ModuleList(units)

    def forward(self, path: Sequence[Tensor]) -> Tensor:
        """(B, outputs) from one map, (B, levels, outputs) from several: a prediction from each, deepest first."""
        predictions = [unit(features) for unit, features in zip(self.units, path, strict=True)]
        return predictions[0] if len(predictions) == 1 else torch.stack(predictions, dim=1)
