"""Networks whose weights follow another's slowly: the mean teacher (Tarvainen and Valpola 2017), and the average of the
weights that a run may end with (Polyak and Juditsky 1992; Izmailov et al. 2018)."""

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


class WeightAverage(Teacher):
    """The exponential moving average of a network's weights over a training.

    Running statistics of batch norms are averaged with the weights that they belong to.
    """

    @torch.no_grad()
    def add(self, network: nn.Module, decay: float, steps: int) -> None:
        """Take the weights of ``network`` in after ``steps`` earlier ones, with d = min(decay, (1 + t) / (10 + t)).

        The first ones are copied.
        """
        share = 1 - min(decay, (1 + steps) / (10 + steps)) if steps else 1.0
        own, others = ([*each.parameters(), *each.buffers()] for each in (self.network, network))
        pairs = [(mine.detach(), theirs.detach()) for mine, theirs in zip(own, others, strict=True)]
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in floats], [theirs for _, theirs in floats], share)
        for mine, theirs in pairs:
            if not mine.is_floating_point():
                mine.copy_(theirs)
