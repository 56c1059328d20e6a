"""Units that pass features between branches; all start near the identity.

Each maps a branch's own features (B, C, ...) and those of G givers, of the same shape, to (B, C, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from branchpoint.networks.blocks import conv

OWN, OTHER = 0.9, 0.1
"""Weights of own and of all other features at the start (Misra et al. 2016, section 4; Gao et al. 2019)."""


class CrossStitch(nn.Module):
    """A learned weighted sum for each channel (Misra et al. 2016, eq. 1)."""

    def __init__(self, dimensions: int, channels: int, givers: int) -> None:
        super().__init__()
        shape = (1, channels, *(1,) * dimensions)
        self.own = nn.Parameter(torch.full(shape, OWN))
        self.others = nn.ParameterList(nn.Parameter(torch.full(shape, OTHER / givers)) for _ in range(givers))

    def forward(self, own: Tensor, others: Sequence[Tensor]) -> Tensor:
        mixed = own * self.own
        for weight, other in zip(self.others, others, strict=True):
            mixed = torch.addcmul(mixed, weight, other)
        return mixed


class NDDR(nn.Module):
    """A 1x1 convolution of all features, concatenated (neural discriminative dimensionality reduction, Gao 2019)."""

    def __init__(self, dimensions: int, channels: int, givers: int) -> None:
        super().__init__()
        self.conv = conv(dimensions, channels * (1 + givers), channels, 1)
        identity = torch.eye(channels).reshape(channels, channels, *(1,) * dimensions)
        start = torch.cat((OWN * identity, *[OTHER / givers * identity] * givers), dim=1)
        self.conv.weight = nn.Parameter(start)
        self.conv.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, own: Tensor, others: Sequence[Tensor]) -> Tensor:
        return self.conv(torch.cat((own, *others), dim=1))


class Attention(nn.Module):
    """Adds what a gate lets through: own + sum of sigmoid(conv1([own, other])) * conv1(other).

    The gate is one for each voxel and channel, as the soft attention masks of Liu et al. 2019 (MTAN, eq. 2).
    """

    def __init__(self, dimensions: int, channels: int, givers: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(conv(dimensions, 2 * channels, channels, 1) for _ in range(givers))
        self.values = nn.ModuleList(conv(dimensions, channels, channels, 1) for _ in range(givers))

    def forward(self, own: Tensor, others: Sequence[Tensor]) -> Tensor:
        mixed = own
        for gate, value, other in zip(self.gates, self.values, others, strict=True):
            mixed = mixed + torch.sigmoid(gate(torch.cat((own, other), dim=1))) * value(other)
        return mixed


EXCHANGES: dict[str, Callable[[int, int, int], nn.Module]] = {
    "cross_stitch": CrossStitch,
    "nddr": NDDR,
    "attention": Attention,
}
"""Unit of :class:`branchpoint.topology.Exchange` to module; concatenation needs none."""
