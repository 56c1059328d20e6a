"""The best sharing tree for given affinities of each stage, and a price or a budget of what it costs.

A stage that a group shares gives each of its tasks the mean affinity of its partners there (or their sum); a task by
itself gets nothing, so that an affinity of 0 is what parting is worth. Exact: groups that have parted never meet
again, so the best tree below a group does not depend on the rest (dynamic programming over subsets and stages).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from branchpoint.topology import Partition, SharingTrees, Topology

MOST_TASKS = 10


@dataclass(frozen=True)
class TreeProposal:
    """A sharing tree.

    Attributes:
        topology: the tree, without cascades and exchanges.
        gain: sum over stages and tasks of the affinity of partners.
        cost: sum over stages of their cost, once for each group.
    """

    topology: Topology
    gain: float
    cost: float


@dataclass(frozen=True)
class _Part:
    """A way to go on from one stage: gain and cost of everything below, and the partition of each stage, as masks."""

    gain: float
    cost: float
    stages: tuple[tuple[int, ...], ...]

    def beside(self, other: _Part) -> _Part:
        deepest = max(len(self.stages), len(other.stages))
        mine, its = (part.stages + ((),) * (deepest - len(part.stages)) for part in (self, other))
        merged = tuple(a + b for a, b in zip(mine, its, strict=True))
        return _Part(self.gain + other.gain, self.cost + other.cost, merged)


def tree_gain(topology: Topology, affinity: np.ndarray, reduce: Literal["mean", "sum"] = "mean") -> float:
    """Sum over stages and tasks of the affinity of the partners that share the stage.

    Args:
        affinity: (stages, T, T), [stage, recipient, source] in the order of ``topology.tasks``; NaN counts as 0.
    """
    places = {task: place for place, task in enumerate(topology.tasks)}
    values = np.nan_to_num(affinity)
    masks = [[sum(1 << places[task] for task in group) for group in partition] for partition in topology.stages]
    return sum(_group_gain(values[stage], mask, reduce) for stage, groups in enumerate(masks) for mask in groups)


def tree_cost(topology: Topology, stage_costs: Sequence[float]) -> float:
    """Sum over stages of ``stage_costs``, once for each group."""
    return float(sum(cost * len(partition) for cost, partition in zip(stage_costs, topology.stages, strict=True)))


def best_tree(
    trees: SharingTrees,
    affinity: np.ndarray,
    stage_costs: Sequence[float] | None = None,
    *,
    price: float = 0.0,
    budget: float = float("inf"),
    reduce: Literal["mean", "sum"] = "mean",
) -> TreeProposal:
    """The tree with the largest gain minus ``price`` times cost, within ``budget``; of equal ones the cheapest.

    Args:
        trees: which tasks pass which stages.
        affinity: float (stages, T, T), [stage, recipient, source] in the order of ``trees.tasks``; NaN (not measured)
            counts as 0. The diagonal is not read.
        stage_costs: of one group at each stage, such as its MACs; all 1 where it is not given.
        price: gain that one unit of cost must bring.
        budget: largest cost.
        reduce: what a task gets from several partners.

    Raises:
        ValueError: shapes do not fit, there are too many tasks, or no tree is within the budget.
    """
    stages, size = trees.encoder + trees.decoder, len(trees.tasks)
    costs = tuple(stage_costs) if stage_costs is not None else (1.0,) * stages
    if np.shape(affinity) != (stages, size, size) or len(costs) != stages:
        raise ValueError(
            f"affinity has shape {np.shape(affinity)} and {len(costs)} stages have a cost: {size} tasks and {stages} "
            f"stages need ({stages}, {size}, {size}) and {stages}"
        )
    if size > MOST_TASKS:
        raise ValueError(f"{size} tasks: the exact search takes up to {MOST_TASKS}; group them first")
    problem = _Problem(trees, np.nan_to_num(np.asarray(affinity, float)), costs, price, budget, reduce)
    found = problem.below(0, (1 << size) - 1)
    if not found:
        raise ValueError(f"no sharing tree costs at most {budget:g}; sharing every stage costs {sum(costs):g}")
    best = max(found, key=lambda part: (part.gain - price * part.cost, -part.cost))
    chain = [_named(stage, trees.tasks) for stage in best.stages]
    topology = Topology(tuple(chain[: trees.encoder]), tuple(chain[trees.encoder :]))
    return TreeProposal(topology, best.gain, best.cost)


class _Problem:
    """All trees below a group, from a stage on: the best one, or with a budget all that no other beats in both."""

    def __init__(
        self,
        trees: SharingTrees,
        affinity: np.ndarray,
        costs: tuple[float, ...],
        price: float,
        budget: float,
        reduce: Literal["mean", "sum"],
    ) -> None:
        self.affinity, self.costs, self.price, self.budget, self.reduce = affinity, costs, price, budget, reduce
        decoded = sum(1 << i for i, task in enumerate(trees.tasks) if task in trees.decoded)
        everyone = (1 << len(trees.tasks)) - 1
        self.present = [everyone] * trees.encoder + [decoded] * trees.decoder
        self._below: dict[tuple[int, int], list[_Part]] = {}
        self._divided: dict[tuple[int, int], list[_Part]] = {}

    def below(self, stage: int, mask: int) -> list[_Part]:
        """Ways to go on with the tasks ``mask``, which shared everything before ``stage``."""
        if stage == len(self.costs):
            return [_Part(0.0, 0.0, ())]
        key = stage, mask & self.present[stage]
        if key not in self._below:
            self._below[key] = self._divide(*key)
        return self._below[key]

    def _divide(self, stage: int, mask: int) -> list[_Part]:
        """Ways to divide ``mask`` into groups at ``stage``: the group of its first task, and the rest."""
        if not mask:
            return [_Part(0.0, 0.0, ())]
        if (stage, mask) not in self._divided:
            options = []
            for group in _with_lowest(mask):
                for part in self._group(stage, group):
                    options += [part.beside(rest) for rest in self._divide(stage, mask ^ group)]
            self._divided[stage, mask] = self._undominated(options)
        return self._divided[stage, mask]

    def _group(self, stage: int, group: int) -> list[_Part]:
        gain, cost = _group_gain(self.affinity[stage], group, self.reduce), self.costs[stage]
        return [
            _Part(gain + part.gain, cost + part.cost, ((group,), *part.stages)) for part in self.below(stage + 1, group)
        ]

    def _undominated(self, options: list[_Part]) -> list[_Part]:
        within = [part for part in options if part.cost <= self.budget * (1 + 1e-12)]
        if np.isinf(self.budget):
            return sorted(within, key=lambda part: (self.price * part.cost - part.gain, part.cost))[:1]
        kept: list[_Part] = []
        for part in sorted(within, key=lambda part: (part.cost, -part.gain)):
            if not kept or part.gain > kept[-1].gain:
                kept.append(part)
        return kept


def _group_gain(affinity: np.ndarray, mask: int, reduce: Literal["mean", "sum"]) -> float:
    members = [i for i in range(mask.bit_length()) if mask >> i & 1]
    if len(members) < 2:
        return 0.0
    own = affinity[np.ix_(members, members)]
    total = float(own.sum() - np.trace(own))
    return total / (len(members) - 1) if reduce == "mean" else total


def _with_lowest(mask: int) -> Iterator[int]:
    """Every subset of ``mask`` that holds its lowest bit."""
    lowest = mask & -mask
    rest = subset = mask ^ lowest
    while True:
        yield subset | lowest
        if not subset:
            return
        subset = (subset - 1) & rest


def _named(groups: Sequence[int], tasks: Sequence[str]) -> Partition:
    return tuple(tuple(task for i, task in enumerate(tasks) if mask >> i & 1) for mask in groups)
