"""Which parameters which tasks share, and the gradients of each task in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from branchpoint.balancing.base import Step, complete_gradients

Owners = frozenset[str]


@runtime_checkable
class MultiTaskNetwork(Protocol):
    """A network that knows which tasks depend on which of its parameters."""

    def tasks_of_parameters(self, gradients: bool = False) -> Mapping[str, Owners]:
        """Name of each parameter to the tasks that have an output, or a gradient, that depends on it."""


def owners_of_parameters(network: nn.Module, tasks: Sequence[str]) -> dict[nn.Parameter, Owners]:
    """Those of ``tasks`` whose losses have a gradient in each trainable parameter, in the network's order.

    Raises:
        ValueError: the network cannot tell.
    """
    if not isinstance(network, MultiTaskNetwork):
        raise ValueError(
            f"{type(network).__name__} has no tasks_of_parameters(gradients=True), the names of parameters with the "
            "tasks that have a gradient in them: balancing by gradients needs it"
        )
    told = network.tasks_of_parameters(gradients=True)
    return {
        parameter: told.get(name, frozenset(tasks)) & frozenset(tasks)
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }


def require_sharing(network: nn.Module, tasks: Sequence[str]) -> None:
    """Raises ValueError where no two of several ``tasks`` share a parameter that a gradient reaches."""
    owners = owners_of_parameters(network, tasks)
    if len(tasks) > 1 and not any(len(owned) > 1 for owned in owners.values()):
        raise ValueError(
            f"balancing combines gradients, but {', '.join(tasks)} share no parameter: every combination is the "
            "sum; use balancing.method 'sum' or a topology that shares a stage"
        )


@dataclass(frozen=True)
class Block:
    """Parameters that the same tasks share: in a tree, the stages above a branching point.

    Attributes:
        tasks: N >= 2 of them.
        parameters: P of them.
        rows: gradients, ``rows[n][p]``.
    """

    tasks: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    rows: tuple[tuple[Tensor, ...], ...]

    def gramian(self) -> Tensor:
        """Inner products of the tasks' gradients, float64 (N, N)."""
        total = self.rows[0][0].new_zeros((len(self.tasks), len(self.tasks)), dtype=torch.float64)
        for tensors in zip(*self.rows, strict=True):
            matrix = torch.stack([tensor.flatten() for tensor in tensors]).double()
            total += matrix @ matrix.T
        return total

    def combine(self, weights: Tensor) -> None:
        """Leave the sum of the rows, weighted by ``weights`` (N,), in the parameters' gradients."""
        scales = weights.tolist()
        for place, parameter in enumerate(self.parameters):
            combined = scales[0] * self.rows[0][place]
            for scale, row in zip(scales[1:], self.rows[1:], strict=True):
                combined.add_(row[place], alpha=scale)
            parameter.grad = combined


def task_gradients(step: Step, task_weights: Mapping[str, float], extra: Sequence[Tensor] = ()) -> list[Block]:
    """Gradients of each loss, over all workers, in one reduction.

    Parameters with one task get its gradient, those with none zero. What several tasks share is returned.

    Args:
        task_weights: multiply the losses.
        extra: tensors that are added up in the same reduction.
    """
    names = list(step.losses)
    owners = owners_of_parameters(step.network, names)
    members = {name: [parameter for parameter, tasks in owners.items() if name in tasks] for name in names}
    rows: dict[str, dict[nn.Parameter, Tensor]] = {}
    for number, name in enumerate(names):
        loss = task_weights[name] * step.losses[name].share
        found = torch.autograd.grad(loss, members[name], retain_graph=number + 1 < len(names), allow_unused=True)
        rows[name] = {
            parameter: torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(members[name], found, strict=True)
        }
    shared: dict[Owners, list[nn.Parameter]] = {}
    for parameter, tasks in owners.items():
        if len(tasks) > 1:
            shared.setdefault(tasks, []).append(parameter)
        elif tasks:
            parameter.grad = rows[next(iter(tasks))][parameter]
    blocks = []
    for tasks, parameters in shared.items():
        ordered = tuple(name for name in names if name in tasks)
        gradients = tuple(tuple(rows[name][parameter] for parameter in parameters) for name in ordered)
        blocks.append(Block(ordered, tuple(parameters), gradients))
    in_blocks = {parameter for block in blocks for parameter in block.parameters}
    alone = complete_gradients(parameter for parameter in owners if parameter not in in_blocks)
    step.add_up([*alone, *(tensor for block in blocks for row in block.rows for tensor in row), *extra])
    return blocks
