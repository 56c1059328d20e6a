"""What an encoder family offers to the assembly: its stages one by one, so that any topology can share them."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class Architecture(Protocol):
    """An encoder with its decoder, in stages.

    Encoder stages are modules ``forward(x)``; stage 0 gets the image, every other the output of the one before.

    Decoder stages are modules ``forward(below, skip, path)``: ``below`` is what the stage before gave (the deepest
    encoder stage for the first), ``skip`` the features of encoder level ``skips[i]`` (the image where that is -1),
    ``path`` what the deepest encoder stage and all decoder stages before this one gave. The last gives features of
    the image's size.

    Attributes:
        channels: output channels of each encoder level.
        decoder_channels: output channels of each decoder stage.
        skips: encoder level whose features each decoder stage joins; -1 for the image.
    """

    channels: tuple[int, ...]
    decoder_channels: tuple[int, ...]
    skips: tuple[int, ...]

    def encoder_stage(self, level: int, extra: int) -> nn.Module:
        """Encoder level ``level``, whose input has ``extra`` channels more than usual."""

    def decoder_stage(self, step: int, extra: int) -> nn.Module:
        """Decoder stage ``step``, whose ``below`` has ``extra`` channels more than usual."""

    def dense_head(self, outputs: int, extra: int) -> nn.Module:
        """Head of a dense task: ``forward(below, path, size)`` gives ``outputs`` maps of the image's size."""
