"""What U-shaped networks have in common: halving levels, and a decoder that joins each of them."""

from __future__ import annotations

from torch import nn

from branchpoint.config import NetworkConfig
from branchpoint.networks.heads import DenseHead


class Pyramid:
    """Levels of width W * 2**level, each half the size of the one before; a decoder stage for all but the deepest."""

    def __init__(self, config: NetworkConfig, dimensions: int) -> None:
        self.config, self.dimensions = config, dimensions
        self.channels = tuple(config.width * 2**level for level in range(config.depth))
        self.skips = tuple(range(config.depth - 2, -1, -1))
        self.decoder_channels = tuple(self.channels[level] for level in self.skips)

    def inputs(self, level: int) -> int:
        """Usual input channels of encoder level ``level``."""
        return self.channels[level - 1] if level else self.config.in_channels

    def below(self, step: int) -> int:
        """Usual channels of what decoder stage ``step`` gets from the stage before."""
        return self.decoder_channels[step - 1] if step else self.channels[-1]

    def dense_head(self, outputs: int, extra: int) -> nn.Module:
        channels = self.decoder_channels[-1] + extra
        return DenseHead(self.dimensions, channels, outputs, self.config.head_kernel)
