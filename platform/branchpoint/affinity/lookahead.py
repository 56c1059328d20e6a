"""What one step of the optimiser would do, taken back exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Snapshot:
    """Values of parameters and their state in an optimiser, to go back to as often as wanted, bit for bit.

    Args:
        optimizer: whose steps are taken back.
        parameters: those that the steps will change.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
        self._optimizer, self._parameters = optimizer, tuple(parameters)
        self.values = [parameter.detach().clone() for parameter in parameters]
        self._states = [_cloned(optimizer.state[p]) if p in optimizer.state else None for p in parameters]

    @torch.no_grad()
    def changes(self) -> list[Tensor]:
        """How far each parameter is from its kept value."""
        return [parameter - value for parameter, value in zip(self._parameters, self.values, strict=True)]

    @torch.no_grad()
    def restore(self) -> None:
        """Back to the kept values; gradients are left."""
        for parameter, value, state in zip(self._parameters, self.values, self._states, strict=True):
            parameter.copy_(value)
            if state is None:
                self._optimizer.state.pop(parameter, None)
                continue
            for name, kept in state.items():
                held = self._optimizer.state[parameter][name]
                if isinstance(held, Tensor) and isinstance(kept, Tensor):
                    held.copy_(kept)
                else:
                    self._optimizer.state[parameter][name] = kept

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        states = [value for state in self._states if state for value in state.values() if isinstance(value, Tensor)]
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.values, *states))


def _cloned(state: dict[str, object]) -> dict[str, object]:
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}
