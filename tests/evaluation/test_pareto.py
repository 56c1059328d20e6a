"""Pareto fronts and hypervolumes against their definitions and Optuna's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from branchpoint.evaluation.pareto import hypervolume, non_dominated


def test_what_nothing_beats_is_kept() -> None:
    values = np.array([[1, 3], [2, 2], [3, 1], [1, 1], [2, 2], [np.nan, 9]])
    assert non_dominated(values).tolist() == [True, True, True, False, True, False]


def test_the_volume_of_two_steps() -> None:
    assert hypervolume(np.array([[1.0, 3.0], [2.0, 1.0]]), np.zeros(2)) == pytest.approx(3 + 1)
    assert hypervolume(np.array([[1.0, -1.0]]), np.zeros(2)) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 10**6))
def test_the_volume_is_optunas(points: int, objectives: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 6, (points, objectives)) / 5
    reference = np.full(objectives, -0.1)
    expected = compute_hypervolume(-values, -reference)
    assert hypervolume(values, reference) == pytest.approx(expected)
    front = values[non_dominated(values)]
    assert hypervolume(front, reference) == pytest.approx(expected), "what is dominated adds nothing"
