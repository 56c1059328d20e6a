"""Methods that combine the gradients of tasks where they share parameters, through TorchJD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from branchpoint.balancing.base import Balancer, Step
from branchpoint.balancing.combinations import Combination, build_combination
from branchpoint.balancing.sharing import owners_of_parameters, task_gradients
from branchpoint.config.balancing import GradientBalancingConfig


class GradientCombination(Balancer):
    """One combination of task gradients for each set of tasks that shares parameters.

    In a sharing tree these sets are the groups: two tasks conflict only above their branching point, and a task of
    another network changes nothing. Parameters of one task get its own gradient. A task whose gradient in a group is
    exactly zero (Dice of empty masks) is left out there, for it could veto every step of the others.

    The weights of the Config multiply the losses before.

    Args:
        combination: weights from a Gramian; may draw from torch's generator.
        task_weights: of the Config.
        seed: of the draws, alike on every worker.
    """

    def __init__(self, combination: Combination, task_weights: Mapping[str, float], seed: int) -> None:
        self._combination = combination
        self._task_weights = dict(task_weights)
        self._generator = torch.Generator().manual_seed(seed)
        self._last: dict[str, float | Tensor] = dict(task_weights)

    @classmethod
    def of(cls, config: GradientBalancingConfig, task_weights: Mapping[str, float], seed: int) -> GradientCombination:
        return cls(build_combination(config), task_weights, seed)

    def attach(self, network: nn.Module) -> None:
        """Raises ValueError where no two tasks share a parameter that a gradient reaches, with at least two tasks."""
        tasks = list(self._task_weights)
        owners = owners_of_parameters(network, tasks)
        if len(tasks) > 1 and not any(len(owned) > 1 for owned in owners.values()):
            raise ValueError(
                f"balancing combines gradients, but {', '.join(tasks)} share no parameter: every combination is the "
                "sum; use balancing.method 'sum' or a topology that shares a stage"
            )

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
        return [self._weights_of(part.view(len(tasks), -1)) for (tasks, _), part in zip(gramians, parts, strict=True)]

    def _weights_of(self, gramian: Tensor) -> Tensor:
        weights = torch.zeros(len(gramian), dtype=torch.float64)
        present = gramian.diagonal() > 0
        if present.any():
            seed = int(torch.randint(2**62, (), generator=self._generator))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                weights[present] = self._combination(gramian[present][:, present]).double()
        return weights

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

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._generator.set_state(state["generator"].cpu())
