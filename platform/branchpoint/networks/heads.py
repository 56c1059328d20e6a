"""Heads: what turns features into the logits of a task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from branchpoint.networks.blocks import conv


class DenseHead(nn.Module):
    """A convolution of the last decoder features: (B, C, [D,] H, W) to (B, outputs, [D,] H, W)."""

    def __init__(self, dimensions: int, channels: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = conv(dimensions, channels, outputs, kernel)

    def forward(self, below: Tensor, path: list[Tensor], size: Sequence[int]) -> Tensor:
        """Logits at spatial ``size`` from the last decoder stage's ``below`` and the ``path`` that led there."""
        return self.conv(below)


class ImageHead(nn.Module):
    """Dropout -> dense with ReLU -> dropout -> dense, on globally averaged features (Andrearczyk et al. 2021, 2.2).

    Args:
        features: length of the vector of averages; 0: the head is a linear model of the numbers alone.
        hidden: units of the first dense layer.
        outputs: units of the last.
        dropout: probability before each dense layer.
        numbers: length of the vector that joins the last layer directly, past dropout: a linear model on it alone
            is a special case of the head.
    """

    def __init__(self, features: int, hidden: int, outputs: int, dropout: float, numbers: int = 0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(features, hidden) if features else None
        self.output = nn.Linear((hidden if features else 0) + numbers, outputs)

    def forward(self, averages: Tensor | None, numbers: Tensor | None = None) -> Tensor:
        """Logits (B, outputs) from ``averages`` (B, features) and ``numbers`` (B, numbers)."""
        if self.hidden is None or averages is None:
            return self.output(numbers)
        hidden = self.dropout(torch.relu(self.hidden(self.dropout(averages))))
        return self.output(hidden if numbers is None else torch.cat((hidden, numbers), dim=1))
