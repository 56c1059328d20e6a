"""Which tasks to put into one network: exact selection under a budget of networks and of cost.

The score of a task in a group is the mean affinity that its partners have for it; each task is served by the best of
the chosen groups that hold it; the sum over tasks is maximised (Standley et al. 2020; Fifty et al. 2021, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Group = tuple[str, ...]
TOLERANCE = 1e-12


@dataclass(frozen=True)
class Grouping:
    """Networks to train.

    Attributes:
        groups: tasks of each network; a task may be in several.
        serves: the group whose head each task uses.
        score: mean over tasks of the affinity of their partners.
        cost: sum over groups.
    """

    groups: tuple[Group, ...]
    serves: dict[str, Group]
    score: float
    cost: float


def best_grouping(
    tasks: Sequence[str],
    affinity: np.ndarray,
    networks: int,
    *,
    cost: Callable[[Group], float] | None = None,
    budget: float = float("inf"),
    alone: Sequence[float] | None = None,
) -> Grouping:
    """The grouping with the highest score; of equal ones the one with fewer networks. Exact, by branch and bound.

    Args:
        tasks: T names.
        affinity: (T, T), [recipient, source]; the diagonal is not read. NaN counts as 0.
        networks: at most so many groups.
        cost: of a group, such as MACs; ``None`` costs nothing.
        budget: largest sum of costs.
        alone: score (T,) of each task by itself; ``None`` forbids groups of one, as TAG does.

    Raises:
        ValueError: a matrix of another shape, or no grouping within the budget covers all tasks.
    """
    size = len(tasks)
    if np.shape(affinity) != (size, size):
        raise ValueError(f"affinity has shape {np.shape(affinity)}: {size} tasks need ({size}, {size})")
    if networks < 1:
        raise ValueError(f"networks is {networks}: allow at least one")
    groups, scores = group_scores(size, np.nan_to_num(np.asarray(affinity, float)), alone)
    costs = np.array([cost(tuple(tasks[i] for i in group)) if cost else 0.0 for group in groups])
    search = _Search(scores, costs, budget)
    for count in range(1, networks + 1):
        search.run(count)
    if search.chosen is None:
        raise ValueError(
            f"no {networks} networks within a budget of {budget:g} cover {', '.join(tasks)}; the cheapest group costs "
            f"{costs.min():g}: allow more networks or cost"
        )
    rows = scores[list(search.chosen)]
    names = [tuple(tasks[i] for i in groups[g]) for g in search.chosen]
    serves = {task: names[int(rows[:, i].argmax())] for i, task in enumerate(tasks)}
    total = float(costs[list(search.chosen)].sum())
    return Grouping(tuple(sorted(names)), serves, float(rows.max(0).mean()), total)


def group_scores(
    size: int, affinity: np.ndarray, alone: Sequence[float] | None = None
) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """All groups of ``size`` tasks, and the score of each task in each, float64 (groups, tasks); -inf outside."""
    smallest = 1 if alone is not None else min(2, size)
    groups = [group for count in range(smallest, size + 1) for group in combinations(range(size), count)]
    scores = np.full((len(groups), size), -np.inf)
    for row, group in enumerate(groups):
        for task in group:
            partners = [other for other in group if other != task]
            if partners:
                scores[row, task] = affinity[task, partners].mean()
            else:
                scores[row, task] = alone[task] if alone is not None else 0.0
    return groups, scores


class _Search:
    """Depth first over sets of groups; a branch is cut where no later groups could win.

    Two bounds: each task gets the best of all later groups; and, as the objective has diminishing returns, no later
    groups add more than the largest gains that single ones would bring now.
    """

    def __init__(self, scores: np.ndarray, costs: np.ndarray, budget: float) -> None:
        self.worst = np.where(np.isfinite(scores), scores, np.inf).min(0)
        self.order = np.argsort(-np.maximum(scores, self.worst).sum(1), kind="stable")
        self.scores, self.costs, self.budget = scores[self.order], costs[self.order], budget
        # later[i]: best score of each task in any group from i on
        self.later = np.maximum.accumulate(self.scores[::-1], axis=0)[::-1]
        self.later = np.vstack([self.later, np.full(scores.shape[1], -np.inf)])
        self.best = -np.inf
        self.chosen: tuple[int, ...] | None = None

    def run(self, count: int) -> None:
        """Look for sets of ``count`` groups that beat the best so far."""
        self._extend((), np.full(self.scores.shape[1], -np.inf), 0.0, 0, count)

    def _extend(self, picked: tuple[int, ...], row: np.ndarray, spent: float, start: int, left: int) -> None:
        rows = np.maximum(row, self.scores[start:])
        affordable = spent + self.costs[start:] <= self.budget * (1 + TOLERANCE)
        if left > 1 and not self._worth(row, rows[affordable], left):
            return
        reachable = np.maximum(rows, self.later[start + 1 :]) if left > 1 else rows
        bounds = np.where(affordable, reachable.sum(1), -np.inf)
        for place in np.argsort(-bounds, kind="stable"):
            if bounds[place] <= self._to_beat:
                return
            if left == 1:
                self.best, self.chosen = float(bounds[place]), (*self._named(picked), int(self.order[start + place]))
                return
            here = int(start + place)
            self._extend((*picked, here), rows[place], spent + self.costs[here], here + 1, left - 1)

    def _worth(self, row: np.ndarray, rows: np.ndarray, left: int) -> bool:
        """Whether ``left`` of the groups that give ``rows`` could beat the best."""
        now = np.maximum(row, self.worst)
        gains = (np.maximum(rows, now) - now).sum(1)
        largest = np.partition(gains, -left)[-left:] if len(gains) > left else gains
        return bool(now.sum() + largest.sum() > self._to_beat)

    @property
    def _to_beat(self) -> float:
        """Rounding is no improvement."""
        return self.best + TOLERANCE * max(1.0, abs(self.best)) if np.isfinite(self.best) else -np.inf

    def _named(self, picked: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(self.order[place]) for place in picked)
