"""The losses of one batch, as often as wanted: with other weights, and nothing else changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from branchpoint.balancing import TaskLoss
from branchpoint.datasets.batch import Batch
from branchpoint.training.losses import task_losses
from branchpoint.training.run import Run
from branchpoint.training.semi_supervised import Guidance


class SameBatch:
    """One global batch of a training step.

    Attributes:
        batch: this worker's rows.
        count: samples of the global batch.

    Args:
        run: who trains.
        indices: samples of the global batch.
        batch: this worker's rows, augmented.
        guidance: of the teacher, where there is one.
    """

    def __init__(self, run: Run, indices: np.ndarray, batch: Batch, guidance: Guidance | None = None) -> None:
        self.batch, self.count = batch, len(indices)
        self._run, self._guidance = run, guidance
        self._labelled = {name: values[indices] for name, values in run.prepared.labelled.items()}
        for dropout in run.dropouts:
            dropout.see(run.workers.rows(len(indices)), len(indices))
        self._cuda = [run.device] if run.device.type == "cuda" else []
        self._random = torch.get_rng_state()
        self._random_cuda = [torch.cuda.get_rng_state(device) for device in self._cuda]

    def losses(self) -> tuple[Mapping[str, Tensor], dict[str, TaskLoss]]:
        """Outputs of this worker's rows and losses over the global batch, on the graph."""
        if self._guidance is None:
            outputs = self._run.forward(self.batch)
            return outputs, task_losses(self._run.trained, outputs, self.batch, self._labelled, self._run.workers)
        outputs = self._run.forward(self._guidance.seen)
        losses = task_losses(self._run.trained, outputs, self.batch, self._labelled, self._run.workers)
        return outputs, self._guidance.added_to(losses, outputs, self._labelled)

    def losses_again(self) -> dict[str, TaskLoss]:
        """Losses over the global batch with the present weights: same dropout, and nothing that the next step would
        notice: neither random numbers nor statistics of batch norms."""
        with torch.random.fork_rng(self._cuda), frozen_statistics(self._run.network):
            torch.set_rng_state(self._random)
            for device, state in zip(self._cuda, self._random_cuda, strict=True):
                torch.cuda.set_rng_state(state, device)
            return self.losses()[1]

    @torch.no_grad()
    def values_now(self) -> dict[str, Tensor]:
        """The values of :meth:`losses_again`."""
        return {name: loss.value for name, loss in self.losses_again().items()}


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms normalise by the batch, as in training, but do not take it into their running statistics."""
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    for module in norms:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in norms:
            module.track_running_stats = True
