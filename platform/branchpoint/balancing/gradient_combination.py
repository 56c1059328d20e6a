"""Methods that combine the gradients of tasks where they share parameters, through TorchJD."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from branchpoint.balancing.base import Balancer, Step
from branchpoint.balancing.combinations import Combination, Remembering, build_combination
from branchpoint.balancing.sharing import require_sharing, task_gradients
from branchpoint.config.balancing import GradientBalancingConfig


class GradientCombination(Balancer):
    """One combination of task gradients for each set of tasks that shares parameters.

    In a sharing tree these sets are the groups: two tasks conflict only above their branching point, and a task of
    another network changes nothing. Parameters of one task get its own gradient. A task whose gradient in a group is
    exactly zero (Dice of empty masks) is left out there, for it could veto every step of the others.

    The weights of the Config multiply the losses before.

    Args:
        build: makes a combination, one for each set of tasks, for some remember earlier steps; combinations may draw
            from torch's generator.
        task_weights: of the Config.
        seed: of the draws, alike on every worker.
    """

    def __init__(self, build: Callable[[], Combination], task_weights: Mapping[str, float], seed: int) -> None:
        build()  # a missing package is noticed before training
        self._build = build
        self._combinations: dict[tuple[str, ...], Combination] = {}
        self._task_weights = dict(task_weights)
        self._generator = torch.Generator().manual_seed(seed)
        self._last: dict[str, float | Tensor] = dict(task_weights)

    @classmethod
    def of(cls, config: GradientBalancingConfig, task_weights: Mapping[str, float], seed: int) -> GradientCombination:
        return cls(lambda: build_combination(config), task_weights, seed)

    def attach(self, network: nn.Module) -> None:
        """Raises ValueError where no two tasks share a parameter that a gradient reaches, with at least two tasks."""
        require_sharing(network, list(self._task_weights))

    def backward(self, step: Step) -> None:
        """A backward pass for each loss, one reduction, then one combination for each set of sharing tasks."""
        blocks = task_gradients(step, self._task_weights)
        found = self._combine([(block.tasks, block.gramian()) for block in blocks])
        for block, weights in zip(blocks, found, strict=True):
            block.combine(weights)
        sizes = [sum(parameter.numel() for parameter in block.parameters) for block in blocks]
        self._remember(step, [block.tasks for block in blocks], found, sizes)

    def weights(self) -> Mapping[str, float | Tensor]:
        """Mean weight of each task over the parameters that it shares, the Config's weight included."""
        return self._last

    def _combine(self, gramians: Sequence[tuple[Sequence[str], Tensor]]) -> list[Tensor]:
        """Weights for each Gramian, on the CPU."""
        if not gramians:
            return []
        flat = torch.cat([gramian.flatten() for _, gramian in gramians]).cpu()  # one wait for the device
        parts = flat.split([gramian.numel() for _, gramian in gramians])
        return [
            self._weights_of(tasks, part.view(len(tasks), -1)) for (tasks, _), part in zip(gramians, parts, strict=True)
        ]

    def _weights_of(self, tasks: Sequence[str], gramian: Tensor) -> Tensor:
        weights = torch.zeros(len(gramian), dtype=torch.float64)
        present = gramian.diagonal() > 0
        if present.any():
            combination = self._combination_of(tuple(task for task, here in zip(tasks, present, strict=True) if here))
            seed = int(torch.randint(2**62, (), generator=self._generator))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                weights[present] = combination(gramian[present][:, present]).double()
        return weights

    def _combination_of(self, tasks: tuple[str, ...]) -> Combination:
        if tasks not in self._combinations:
            self._combinations[tasks] = self._build()
        return self._combinations[tasks]

    def _remember(
        self, step: Step, tasks: Sequence[Sequence[str]], found: Sequence[Tensor], sizes: Sequence[int]
    ) -> None:
        """Keep the mean weights, by ``sizes``, for the log."""
        weighted, shared = dict.fromkeys(step.losses, 0.0), dict.fromkeys(step.losses, 0)
        for names, weights, size in zip(tasks, found, sizes, strict=True):
            for name, weight in zip(names, weights.tolist(), strict=True):
                weighted[name] += size * weight
                shared[name] += size
        for name, size in shared.items():
            self._last[name] = self._task_weights[name] * (weighted[name] / size if size else 1.0)

    def state_dict(self) -> dict[str, Any]:
        memories = [
            (list(tasks), combination.state_dict())
            for tasks, combination in self._combinations.items()
            if isinstance(combination, Remembering)
        ]
        return {"generator": self._generator.get_state(), "memories": memories}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._generator.set_state(state["generator"].cpu())
        self._combinations.clear()
        for tasks, memory in state.get("memories", ()):
            combination = self._combination_of(tuple(tasks))
            assert isinstance(combination, Remembering)
            combination.load_state_dict(memory)
