"""Trees grown task by task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.topology import SharingTrees
from branchpoint.topology.growth import Parting, grow, join, partings
from tests.topology.topology_strategies import sharing_trees


@given(sharing_trees(), st.data())
def test_every_tree_grows_from_its_partings(trees, data):
    topology = trees[data.draw(st.integers(0, len(trees) - 1))]
    assert grow(trees, partings(topology)) == topology


def test_two_descriptions_of_one_tree_give_equal_topologies():
    trees = SharingTrees("abc", (), 3)
    first = grow(trees, {"b": Parting("a", 2), "c": Parting("a", 1)})
    second = grow(trees, {"b": Parting("a", 2), "c": Parting("b", 1)})
    assert first == second
    assert partings(second)["c"] == Parting("a", 1)


@pytest.mark.parametrize(
    ("given_partings", "message"),
    [
        ({}, "'b' has no parting"),
        ({"b": Parting("c", 1)}, "parent of 'b' is 'c'"),
        ({"b": Parting("a", -1)}, "depth of 'b' is -1"),
    ],
)
def test_errors_name_the_task(given_partings, message):
    with pytest.raises(ValueError, match=message):
        grow(SharingTrees("abc", (), 3), given_partings)


def test_a_task_joins_a_tree_that_is_there() -> None:
    trees = SharingTrees(("a", "b"), ("a", "b"), 3, 2)
    apart = grow(trees, {"b": Parting("a", 2)})
    for depth in range(4):
        joined = join(apart, "c", Parting("b", depth))
        assert joined.branching_point("b", "c") == depth
        assert joined.branching_point("a", "c") == min(depth, 2)
        assert joined.branching_point("a", "b") == 2
        assert joined.decoder_tasks == {"a", "b"}
    decoded = join(apart, "c", Parting("a", 4), decoded=True)
    assert (decoded.branching_point("a", "c"), decoded.branching_point("b", "c")) == (4, 2)
    assert decoded.decoder_tasks == {"a", "b", "c"}


@pytest.mark.parametrize(("task", "parent"), [("c", "d"), ("b", "a")])
def test_who_joins_must_be_new_and_its_parent_there(task: str, parent: str) -> None:
    tree = grow(SharingTrees(("a", "b"), ("a",), 2, 1), {"b": Parting("a", 1)})
    with pytest.raises(ValueError, match="name a new task"):
        join(tree, task, Parting(parent, 1))
