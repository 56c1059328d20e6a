"""The losses of one batch, as often as wanted: with other weights, and nothing else changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from branchpoint.balancing import Step, TaskLoss, collect_gradients
from branchpoint.datasets.batch import Batch
from branchpoint.training.run import Run
from branchpoint.training.step.losses import task_losses, task_shares
from branchpoint.training.step.optimizer import clip_gradient
from branchpoint.training.step.semi_supervised import Guidance


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
        """Outputs of this worker's rows and losses over the global batch, on the graph.

        In micro-batches the outputs are off the graph, and each loss stands for gradients that were found already.
        """
        if self.in_parts:
            return self._known_gradients()
        if self._guidance is None:
            outputs = self._run.forward(self.batch)
            return outputs, task_losses(self._run.trained, outputs, self.batch, self._labelled, self._run.workers)
        outputs = self._run.forward(self._guidance.seen)
        losses = task_losses(self._run.trained, outputs, self.batch, self._labelled, self._run.workers)
        return outputs, self._guidance.added_to(losses, outputs, self._labelled)

    @property
    def in_parts(self) -> bool:
        """Whether this worker's rows are more than may pass through the network at once."""
        most = self._run.config.training.micro_batch
        return most is not None and len(self.batch) > most

    def add_gradients(self, weights: Mapping[str, float]) -> tuple[Mapping[str, Tensor], dict[str, TaskLoss]]:
        """Add the gradient of the weighted sum over this worker's rows to the parameters, part by part.

        Returns:
            As :meth:`losses`, off the graph.
        """

        def backward(shares: Mapping[str, Tensor]) -> None:
            if shares:
                torch.stack([weights[name] * share for name, share in shares.items()]).sum().backward()

        outputs, values = self._pass_parts(backward)
        return outputs, {name: TaskLoss(value, value) for name, value in values.items()}

    def losses_again(self) -> dict[str, TaskLoss]:
        """Losses over the global batch with the present weights: same dropout, and nothing that the next step would
        notice: neither random numbers nor statistics of batch norms."""
        with torch.random.fork_rng(self._cuda), frozen_statistics(self._run.network):
            self._rewind()
            return self.losses()[1]

    def _known_gradients(self) -> tuple[Mapping[str, Tensor], dict[str, TaskLoss]]:
        """As :meth:`losses`, one part after the other; each loss keeps its gradient in every parameter."""
        parameters = [parameter for parameter in self._run.network.parameters() if parameter.requires_grad]
        found: dict[str, list[Tensor | None]] = {}

        def collect(shares: Mapping[str, Tensor]) -> None:
            for number, (name, share) in enumerate(shares.items()):
                retain = number + 1 < len(shares)
                gradients = torch.autograd.grad(share, parameters, retain_graph=retain, allow_unused=True)
                before = found.get(name, [None] * len(parameters))
                found[name] = [
                    old if new is None else new if old is None else old.add_(new)
                    for old, new in zip(before, gradients, strict=True)
                ]

        outputs, values = self._pass_parts(collect if torch.is_grad_enabled() else None)
        losses = {name: TaskLoss(value, value) for name, value in values.items()}
        for name, gradients in found.items():
            reached = [(p, gradient) for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
            share = _Known.apply(values[name], [gradient for _, gradient in reached], *(p for p, _ in reached))
            losses[name] = TaskLoss(share, values[name])
        return outputs, losses

    def _pass_parts(
        self, use: Callable[[Mapping[str, Tensor]], None] | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Outputs of this worker's rows, and the losses over the global batch, off the graph.

        Args:
            use: called with what each part adds to each loss, on the graph.
        """
        rows, size = self._run.workers.rows(self.count), self._run.local_batch_size
        outputs: list[Mapping[str, Tensor]] = []
        values: dict[str, Tensor] = {}
        for start in range(0, len(self.batch), size):
            part = slice(start, min(start + size, len(self.batch)))
            self._rewind()  # dropout draws for the global batch: the same for each of its parts
            given, shares = self._part_shares(part, slice(rows.start + part.start, rows.start + part.stop))
            if use is not None:
                use(shares)
            outputs.append({name: logits.detach() for name, logits in given.items()})
            for name, share in shares.items():
                values[name] = values.get(name, 0) + share.detach()
        for dropout in self._run.dropouts:
            dropout.see(rows, self.count)
        self._run.workers.add_up([*values.values()])
        return {name: torch.cat([part[name] for part in outputs]) for name in outputs[0]}, values

    def _part_shares(self, part: slice, rows: slice) -> tuple[Mapping[str, Tensor], dict[str, Tensor]]:
        """Outputs of some of this worker's rows, which are ``rows`` of the global batch, and their shares of losses."""
        run = self._run
        for dropout in run.dropouts:
            dropout.see(rows, self.count)
        batch, guidance = self.batch[part], self._guidance.part(part) if self._guidance is not None else None
        outputs = run.forward(batch if guidance is None else guidance.seen)
        shares = task_shares(run.trained, outputs, batch, self._labelled, rows)
        for name, share in (guidance.shares(outputs, self._labelled) if guidance is not None else {}).items():
            shares[name] = shares[name] + share if name in shares else share
        return outputs, {task.name: shares[task.name] for task in run.trained if task.name in shares}

    def _rewind(self) -> None:
        """Random numbers to where they were when the batch came."""
        torch.set_rng_state(self._random)
        for device, state in zip(self._cuda, self._random_cuda, strict=True):
            torch.cuda.set_rng_state(state, device)

    @torch.no_grad()
    def values_now(self) -> dict[str, Tensor]:
        """The values of :meth:`losses_again`."""
        return {name: loss.value for name, loss in self.losses_again().items()}


class _Known(torch.autograd.Function):
    """A scalar whose gradients in the parameters are known."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(upstream * gradient for gradient in ctx.gradients)


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


def take_step(run: Run, epoch: int, same: SameBatch) -> tuple[Mapping[str, Tensor], dict[str, TaskLoss], Tensor]:
    """One step of the optimiser.

    Returns:
        The outputs of this worker's rows, the losses over the global batch, and the norm of its gradient before
        clipping.
    """
    run.optimizer.zero_grad()
    ahead = run.balancer.weights_ahead
    if same.in_parts and ahead is not None:
        outputs, losses = same.add_gradients(ahead)
        collect_gradients(run.network, run.workers.add_up)
    else:
        outputs, losses = same.losses()
        run.balancer.backward(Step(losses, run.network, run.workers.add_up, epoch))
    norm = clip_gradient(run.network, run.config.optimizer.clip_norm)
    run.optimizer.step()
    if run.balancer.looks_again:
        run.balancer.look_again(same.values_now())
    return outputs, losses, norm
