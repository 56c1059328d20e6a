"""Pareto fronts: what no other one beats in every objective at once."""

from __future__ import annotations

import numpy as np


def non_dominated(values: np.ndarray) -> np.ndarray:
    """(N,) bool: the rows of ``values`` (N, M), greater is better, than which no other is better in one objective and
    at least as good in all. A row with NaN is dominated, and equal rows do not dominate each other."""
    known = ~np.isnan(values).any(axis=1)
    at_least = (values[:, None] >= values[None]).all(axis=2)
    better = (values[:, None] > values[None]).any(axis=2)
    return known & ~(at_least & better & known[:, None]).any(axis=0)


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Volume that the rows of ``values`` (N, M), greater is better, dominate above ``reference`` (M,).

    By slices along the last objective (Zitzler 1999); for the tens of points of a front.
    """
    inside = values[(values > reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if inside.shape[1] == 1:
        return float(inside.max() - reference[0])
    ordered = inside[np.argsort(-inside[:, -1], kind="stable")]
    ends = np.append(ordered[1:, -1], reference[-1])
    return sum(
        hypervolume(ordered[: count + 1, :-1], reference[:-1]) * float(ordered[count, -1] - ends[count])
        for count in range(len(ordered))
        if ordered[count, -1] > ends[count]
    )
