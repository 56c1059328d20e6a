"""Cuts between the trunks that tasks share and what is each task's own, so that gradients can stop there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class TrunkCuts:
    """Leaves of the graph where a task's own part reads features of a trunk, for the latest forward pass.

    A backward pass from a loss then ends at the leaves; another one, from the features, goes through the trunk.

    Args:
        tasks: those that each step of the forward pass serves.

    Raises:
        ValueError: a step is shared by some of the tasks of a trunk only: it would need a pass for each task.
    """

    def __init__(self, tasks: Sequence[frozenset[str]]) -> None:
        self._tasks = tuple(tasks)
        self.trunks = sorted({served for served in tasks if len(served) > 1}, key=sorted)
        for first in self.trunks:
            for other in self.trunks:
                if first != other and first & other:
                    raise ValueError(
                        f"gradients of features need one trunk for tasks that share anything, but "
                        f"{', '.join(sorted(first))} and {', '.join(sorted(other))} are two sets that share different "
                        "stages; use balancing.gradients 'parameters', or let all tasks part at one stage"
                    )
        self._pairs: dict[int, tuple[Tensor, Tensor]] = {}

    def seen_from(self, step: int, results: Sequence[Tensor]) -> Sequence[Tensor]:
        """``results`` as the step at that position reads them: features of a trunk as leaves outside of it."""
        if step == 0:
            self._pairs = {}
        if len(self._tasks[step]) > 1 or not torch.is_grad_enabled():
            return results
        return _Seen(self, results)

    def leaf(self, position: int, features: Tensor) -> Tensor:
        """What stands for ``features``, the result at ``position``, outside of its trunk."""
        if len(self._tasks[position]) < 2:
            return features
        if position not in self._pairs:
            self._pairs[position] = features, features.detach().requires_grad_()
        return self._pairs[position][1]

    def pairs(self, trunk: frozenset[str]) -> tuple[tuple[Tensor, Tensor], ...]:
        """Features and leaf of each result of ``trunk`` that was read outside of it."""
        return tuple(pair for position, pair in self._pairs.items() if self._tasks[position] == trunk)


class _Seen(Sequence[Tensor]):
    def __init__(self, cuts: TrunkCuts, results: Sequence[Tensor]) -> None:
        self._cuts, self._results = cuts, results

    def __getitem__(self, position: int) -> Tensor:  # type: ignore[override]
        return self._cuts.leaf(position, self._results[position])

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[position] for position in range(len(self)))
