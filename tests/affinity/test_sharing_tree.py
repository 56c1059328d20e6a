"""The best sharing tree: brute force over all trees, budgets, and six tasks in six stages."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.affinity.sharing_tree import best_tree, tree_cost, tree_gain
from branchpoint.topology import SharingTrees


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_brute_force(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 4))
    encoder, decoder = data.draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (2, 1), (1, 2)]))
    tasks = tuple("abcd"[:size])
    decoded = tasks[: data.draw(st.integers(0, size))]
    trees = SharingTrees(tasks, decoded, encoder, decoder)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    affinity = generator.normal(size=(trees.encoder + trees.decoder, size, size)).round(1)
    costs = generator.integers(1, 5, trees.encoder + trees.decoder).astype(float)
    price = data.draw(st.sampled_from([0.0, 0.3]))
    reduce = data.draw(st.sampled_from(["mean", "sum"]))
    budget = data.draw(st.sampled_from([float("inf"), costs.sum(), costs.sum() * 1.7]))
    values = [
        (tree_gain(tree, affinity, reduce) - price * tree_cost(tree, costs), -tree_cost(tree, costs))
        for tree in trees
        if tree_cost(tree, costs) <= budget
    ]
    found = best_tree(trees, affinity, costs, price=price, budget=budget, reduce=reduce)
    assert found.cost == pytest.approx(tree_cost(found.topology, costs))
    assert found.gain == pytest.approx(tree_gain(found.topology, affinity, reduce))
    assert found.gain - price * found.cost == pytest.approx(max(values)[0])


def test_six_tasks_in_six_stages_exactly() -> None:
    """Two families part after stage 1, and one member leaves its family after stage 3; with and without a budget."""
    family = np.array([0, 0, 0, 1, 1, 1])
    affinity = np.where(family[:, None] == family, 0.2, -0.3) * np.ones((6, 1, 1))
    affinity[:2] = np.where(family[:, None] == family, 0.1, 0.3)
    affinity[4:, 2, :2] = affinity[4:, :2, 2] = -0.5
    trees = SharingTrees(tuple("abcdef"), (), 6)
    noise = np.random.default_rng(1).normal(size=affinity.shape) * 0.01
    started = time.perf_counter()
    found = best_tree(trees, affinity + noise)
    assert found.topology.stages[1] == (tuple("abcdef"),)
    assert found.topology.stages[2] == found.topology.stages[3] == (tuple("abc"), tuple("def"))
    assert found.topology.stages[5] == (tuple("ab"), ("c",), tuple("def"))
    cheaper = best_tree(trees, affinity + noise, budget=found.cost - 1)
    assert cheaper.cost <= found.cost - 1
    assert cheaper.gain < found.gain
    assert time.perf_counter() - started < 60


def test_unmeasured_stages_are_shared_for_they_cost_less() -> None:
    trees = SharingTrees(("a", "b"), ("a",), 2, 1)
    affinity = np.full((3, 2, 2), np.nan)
    assert best_tree(trees, affinity).topology.stages[:2] == ((("a", "b"),),) * 2
    affinity[1] = -1.0
    assert best_tree(trees, affinity).topology.branching_point("a", "b") == 1
    assert best_tree(trees, affinity, budget=3.0).topology.branching_point("a", "b") == 2, "no money for a branch"


def test_refusals() -> None:
    trees = SharingTrees(("a", "b"), (), 2)
    with pytest.raises(ValueError, match=r"2 tasks and 2 stages need \(2, 2, 2\)"):
        best_tree(trees, np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match="sharing every stage costs 2"):
        best_tree(trees, np.zeros((2, 2, 2)), budget=1.0)
    with pytest.raises(ValueError, match="takes up to 10"):
        best_tree(SharingTrees(tuple("abcdefghijk"), (), 1), np.zeros((1, 11, 11)))
