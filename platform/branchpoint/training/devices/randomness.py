"""Random numbers that depend on the seed and the epoch alone, never on the worker or on how often a run was resumed.

Every epoch starts from its own seeds, so a checkpoint needs no generator states and a resumed run, even one with
another number of workers, draws what the unbroken run drew.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

TRAINING, AUGMENTATION, BALANCING, NOISE = range(4)
"""Purposes that :func:`derived_seed` keeps apart."""


def derived_seed(seed: int, *keys: int) -> int:
    """A 63-bit seed of its own for each ``keys`` (purpose, epoch, ...)."""
    return int(np.random.SeedSequence((seed, *keys)).generate_state(1, np.uint64)[0] >> np.uint64(1))


class BatchDropout(nn.Dropout):
    """Dropout that draws for the global batch and keeps this worker's rows: W workers drop what one drops.

    Where the first dimension is not that of the batch (attention windows) it is plain dropout.
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.rows = slice(0, 0)
        self.count = 0

    def see(self, rows: slice, count: int) -> None:
        """The next batch holds ``rows`` of the ``count`` samples of the global batch."""
        self.rows, self.count = rows, count

    def forward(self, input: Tensor) -> Tensor:
        """Scaled ``input`` (B, ...) with a share ``p`` of its elements zero; ``input`` itself in evaluation."""
        if not self.training or self.p == 0:
            return input
        if len(input) != self.rows.stop - self.rows.start:
            return F.dropout(input, self.p)
        drawn = torch.rand((self.count, *input.shape[1:]), device=input.device)[self.rows]
        return input * (drawn >= self.p).to(input.dtype) / (1 - self.p)


def install_batch_dropout(network: nn.Module) -> list[BatchDropout]:
    """Replace every ``nn.Dropout`` of ``network``; state dicts stay the same."""
    installed = []
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                dropout = BatchDropout(child.p).train(child.training)
                setattr(module, name, dropout)
                installed.append(dropout)
    return installed
