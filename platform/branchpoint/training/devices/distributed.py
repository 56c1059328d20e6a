"""The workers that train one network together, through ``torch.distributed`` as the caller initialised it.

Every worker knows the whole global batch and takes a contiguous slice of it, so no counts need to be exchanged.
Nothing here wraps the network: gradients are added up once a step, after all of them exist, which suits every
balancer and cannot hang on parameters that a step leaves unused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from branchpoint.training.errors import losses_of_workers_named


class Workers:
    """The process group; one process without ``torch.distributed`` is a group of one."""

    def __init__(self) -> None:
        self.together = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self.rank = dist.get_rank() if self.together else 0
        self.size = dist.get_world_size() if self.together else 1

    def part(self, count: int, rank: int | None = None) -> slice:
        """The rows of ``rank`` (this worker) among ``count``; the parts follow each other and differ by one at most."""
        rank = self.rank if rank is None else rank
        return slice(count * rank // self.size, count * (rank + 1) // self.size)

    def rows(self, count: int) -> slice:
        """The rows that this worker works on: :meth:`part`, or the first one where that is empty, for no network
        takes an empty batch; :func:`branchpoint.training.step.losses.task_losses` leaves such a row out."""
        part = self.part(count)
        return part if part.stop > part.start else slice(0, 1)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors of one dtype over all workers, in place and in one reduction."""
        if not self.together or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with losses_of_workers_named():
            dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def gather(self, mine: Tensor, count: int) -> Tensor:
        """All ``count`` rows, in order, of which ``mine`` are the rows :meth:`part`; they stay on the graph.

        The rows of others carry no gradient: a loss of the gathered rows has, on each worker, the gradient with
        respect to that worker's own rows, and the sum over workers is the gradient of the whole batch.
        """
        if not self.together:
            return mine
        lengths = [len(range(*self.part(count, rank).indices(count))) for rank in range(self.size)]
        padded = mine.new_zeros((max(lengths), *mine.shape[1:]))
        padded[: len(mine)] = mine.detach()
        rows = [torch.empty_like(padded) for _ in lengths]
        with losses_of_workers_named():
            dist.all_gather(rows, padded)
        rows = [row[:length] for row, length in zip(rows, lengths, strict=True)]
        rows[self.rank] = mine
        return torch.cat(rows)

    def gather_objects(self, mine: Any) -> list[Any]:
        """The object of every worker, in order."""
        if not self.together:
            return [mine]
        objects: list[Any] = [None] * self.size
        with losses_of_workers_named():
            dist.all_gather_object(objects, mine)
        return objects

    def from_first(self, value: Any) -> Any:
        """What the first worker holds."""
        if not self.together:
            return value
        values = [value]
        with losses_of_workers_named():
            dist.broadcast_object_list(values)
        return values[0]

    def copy_from_first(self, network: nn.Module) -> None:
        """Give every worker the parameters and buffers of the first."""
        if self.together:
            for tensor in [*network.parameters(), *network.buffers()]:
                with losses_of_workers_named():
                    dist.broadcast(tensor.detach(), 0)


def batch_norms(network: nn.Module) -> list[str]:
    """Names of the batch norms in ``network``."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def refuse_batch_norm(network: nn.Module, micro_batch: int | None) -> None:
    """Raises ValueError where ``network`` (of a library, say) has a batch norm, which would see parts of a batch."""
    for name in batch_norms(network):
        raise ValueError(
            f"training.micro_batch is {micro_batch}: {name} of this network is a batch norm, whose statistics "
            "would be those of parts of a batch; leave it out, or take an encoder without batch norm"
        )


def synchronized(network: nn.Module, workers: Workers, device: torch.device) -> nn.Module:
    """``network`` with batch norms that see the global batch.

    Raises:
        ValueError: several workers on CPUs, where torch has no such batch norm.
    """
    norms = batch_norms(network)
    if not norms or not workers.together:
        return network
    if device.type != "cuda":
        raise ValueError(
            f"network.unit is batchnorm ({norms[0]}): over {workers.size} CPU workers its statistics would not be "
            "those of the global batch; use senorm or instancenorm, or one worker"
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)
