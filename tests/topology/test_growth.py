"""Trees grown task by task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.topology import SharingTrees
from branchpoint.topology.growth import Parting, grow, partings
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
