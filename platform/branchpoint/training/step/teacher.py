"""The mean teacher (Tarvainen and Valpola 2017): a network whose weights follow another's slowly."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Teacher:
    """A copy of a network, in evaluation mode and without gradients.

    Attributes:
        network: the copy.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, network: nn.Module, decay: float, steps: int) -> None:
        """Move towards ``network``: w <- d w + (1 - d) w', with d = min(decay, 1 - 1 / (steps + 1)).

        The first of ``steps`` copies, and the first few make a plain mean, so that the teacher does not lag behind
        with the weights that were drawn. Running statistics (buffers) are copied.
        """
        share = 1 - min(decay, 1 - 1 / (steps + 1))
        own, others = ([p.detach() for p in each.parameters()] for each in (self.network, network))
        torch._foreach_lerp_(own, others, share)
        for buffer, other in zip(self.network.buffers(), network.buffers(), strict=True):
            buffer.copy_(other)
