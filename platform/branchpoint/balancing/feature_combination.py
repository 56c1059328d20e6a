"""Combinations of gradients in the features that leave a shared trunk, not in its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from branchpoint.balancing.base import Step, collect_gradients
from branchpoint.balancing.gradient_combination import GradientCombination


@dataclass(frozen=True)
class _Trunk:
    """What this worker knows of a trunk in one step.

    Attributes:
        tasks: N of those that share it, present in the step.
        features: F tensors that leave it.
        rows: gradients, ``rows[n][f]``.
    """

    tasks: tuple[str, ...]
    features: tuple[Tensor, ...]
    rows: tuple[tuple[Tensor, ...], ...]

    def gramian(self) -> Tensor:
        """Inner products over this worker's samples, float64 (N, N)."""
        total = self.features[0].new_zeros((len(self.tasks), len(self.tasks)), dtype=torch.float64)
        for tensors in zip(*self.rows, strict=True):
            matrix = torch.stack([tensor.flatten() for tensor in tensors]).float()
            total += (matrix @ matrix.T).double()
        return total

    def backward(self, weights: Tensor) -> None:
        """One pass through the trunk, from the rows weighted by ``weights`` (N,)."""
        scales = weights.tolist()
        combined = [
            torch.stack([scale * tensor for scale, tensor in zip(scales, tensors, strict=True)]).sum(0)
            for tensors in zip(*self.rows, strict=True)
        ]
        torch.autograd.backward(self.features, combined)


class FeatureCombination(GradientCombination):
    """The combination is found from gradients in the trunk's features; one backward pass goes through the trunk.

    The gradient in the trunk's parameters is a linear map of that in its features, so that a direction which harms no
    task in the features bounds the harm in the parameters (Sener and Koltun 2018, 3.3). The Gramian is a sum over
    samples: N x N numbers are added up over workers first, then all gradients once, and no worker holds a gradient of
    the parameters for each task.
    """

    def attach(self, network: nn.Module) -> None:
        """Raises ValueError where no two tasks share anything, or the topology parts more than once."""
        super().attach(network)
        self._cuts = network.cut_trunks(list(self._task_weights))  # type: ignore[operator]

    def backward(self, step: Step) -> None:
        """A pass through the own part of each task, then one through each trunk."""
        trunks = []
        for shared in self._cuts.trunks:
            tasks = tuple(name for name in step.losses if name in shared)
            if tasks:
                features, leaves = zip(*self._cuts.pairs(shared), strict=True)
                trunks.append(_Trunk(tasks, features, tuple(self._own_backward(step, name, leaves) for name in tasks)))
        for name in step.losses:
            if not any(name in trunk.tasks for trunk in trunks):
                self._own_backward(step, name, ())
        gramians = [trunk.gramian() for trunk in trunks]
        step.add_up(gramians)
        found = self._combine([(trunk.tasks, gramian) for trunk, gramian in zip(trunks, gramians, strict=True)])
        for trunk, weights in zip(trunks, found, strict=True):
            trunk.backward(weights)
        collect_gradients(step.network, step.add_up)
        self._remember(step, [trunk.tasks for trunk in trunks], found, [1] * len(trunks))

    def _own_backward(self, step: Step, name: str, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Leave the gradients of a task's own parameters in them, and give those in ``leaves``."""
        for leaf in leaves:
            leaf.grad = None
        (self._task_weights[name] * step.losses[name].share).backward()
        return tuple(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves)
