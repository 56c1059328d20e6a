"""Gradient reversal (Ganin et al. 2016): a head that learns what the features before it are made to forget."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from branchpoint.networks.heads import ImageHead


class AdversarialHead(ImageHead):
    """An image-level head whose gradient is multiplied by minus the present strength where it enters the features.

    Args:
        strength: at full strength.
        ramp: start at 0 and rise with the progress of training (Ganin et al., 5.2.2).
    """

    strength: Tensor

    def __init__(
        self, features: int, hidden: int, outputs: int, dropout: float, *, strength: float, ramp: bool
    ) -> None:
        super().__init__(features, hidden, outputs, dropout)
        self.full_strength, self.ramp = strength, ramp
        self.register_buffer("strength", torch.tensor(0.0 if ramp else strength), persistent=False)

    def set_progress(self, progress: float) -> None:
        """The share of the training budget that is spent, from 0 to 1."""
        if self.ramp:
            self.strength.fill_(self.full_strength * (2 / (1 + math.exp(-10 * progress)) - 1))

    def forward(self, averages: Tensor | None, numbers: Tensor | None = None) -> Tensor:
        """Logits (B, outputs) from ``averages`` (B, features); clinical ``numbers`` are not for it."""
        return super().forward(None if averages is None else self.reversed(averages))

    def reversed(self, features: Tensor) -> Tensor:
        """``features``, up to rounding, with a gradient of minus the strength."""
        strength = self.strength.to(features.dtype)
        return (1 + strength) * features.detach() - strength * features


def set_progress(network: nn.Module, progress: float) -> None:
    """Tell every adversarial head of ``network`` how far its training is."""
    for module in network.modules():
        if isinstance(module, AdversarialHead):
            module.set_progress(progress)
