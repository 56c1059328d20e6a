"""Sharing trees: published counts, brute force, and the one-to-one numbering."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.topology import SharingTrees, Topology
from branchpoint.topology.partitions import partitions
from tests.topology.topology_strategies import sharing_trees

COUNTS = {2: (2, 3, 4, 5, 6), 3: (5, 12, 22, 35, 51), 4: (15, 60, 154, 315, 561)}


@pytest.mark.parametrize("tasks", COUNTS)
def test_counts_of_sharing_trees(tasks):
    assert tuple(len(SharingTrees("abcd"[:tasks], (), stages)) for stages in range(1, 6)) == COUNTS[tasks]


def test_count_for_five_tasks():
    assert len(SharingTrees("abcde", (), 4)) == 3455


@pytest.mark.parametrize(("decoded", "encoder", "decoder"), [("", 3, 0), ("b", 2, 2), ("ac", 1, 2), ("abc", 2, 1)])
def test_trees_are_those_found_by_brute_force(decoded, encoder, decoder):
    valid = set()
    for first in product(partitions(("a", "b", "c")), repeat=encoder):
        for last in product(partitions(tuple(decoded)), repeat=decoder):
            try:
                valid.add(Topology(first, last))
            except ValueError:
                continue
    trees = SharingTrees("abc", decoded, encoder, decoder)
    assert len(trees) == len(valid)
    assert set(trees) == valid


@given(sharing_trees(), st.data())
def test_number_and_tree_determine_each_other(trees, data):
    number = data.draw(st.integers(0, len(trees) - 1))
    assert trees.number(trees[number]) == number


def test_first_shares_all_and_last_nothing():
    trees = SharingTrees("abc", "ab", 3, 2)
    assert trees[0] == Topology.shared("abc", "ab", 3, 2)
    assert trees[len(trees) - 1] == Topology.separate("abc", "ab", 3, 2)


def test_errors_say_what_is_wrong():
    with pytest.raises(IndexError, match="there are 5 sharing trees"):
        SharingTrees("abc", (), 1)[5]
    with pytest.raises(ValueError, match="'d' is none of the tasks"):
        SharingTrees("abc", "d", 1)
    with pytest.raises(ValueError, match="other tasks or stages"):
        SharingTrees("abc", (), 2).number(Topology.shared("abc", (), 3))
