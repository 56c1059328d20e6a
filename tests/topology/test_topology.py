"""Validation, canonical form and branching points."""

import pytest

from branchpoint.config.serialization import from_plain, to_plain
from branchpoint.topology import Topology


def test_equal_networks_are_equal_values():
    first = Topology((((("b", "a"), ("c",))),), ((("c",), ("a",)),))
    second = Topology([[["c"], ["a", "b"]]], [[["a"], ["c"]]])
    assert first == second
    assert hash(first) == hash(second)


def test_json_gives_the_same_topology():
    topology = Topology.branching(["seg", "surv", "grade"], ["seg"], 2, 4, 3)
    assert from_plain(Topology, to_plain(topology)) == topology


@pytest.mark.parametrize(("depth", "point"), [(0, 0), (3, 3), (4, 4), (7, 4)])
def test_branching_point_of_dense_and_image_level_task(depth, point):
    topology = Topology.branching(["seg", "surv"], ["seg"], depth, 4, 3)
    assert topology.branching_point("seg", "surv") == topology.branching_point("surv", "seg") == point


def test_dense_tasks_share_the_decoder_down_to_their_heads():
    assert Topology.shared("ab", "ab", 4, 3).branching_point("a", "b") == 7
    assert Topology.separate("ab", "ab", 4, 3).branching_point("a", "b") == 0


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        ([[["a"], ["b"]], [["a", "b"]]], [], "encoder stage 1: tasks 'a' and 'b' share weights here but parted"),
        ([[["a", "b"], ["b"]]], [], "encoder stage 0: task 'b' is in two groups"),
        ([[["a", "b"]], [["a"]]], [], "encoder stage 1: task 'b' is not in every encoder stage"),
        ([[["a"], ["b"]]], [[["a", "b"]]], "decoder stage 0: tasks 'a' and 'b' share weights"),
        ([[["a"]]], [[["b"]]], "task 'b' passes no encoder stage"),
        ([[["a"], []]], [], "encoder stage 0: a group without tasks"),
        ([], [], "at least one stage"),
    ],
)
def test_errors_name_stage_and_tasks(encoder, decoder, message):
    with pytest.raises(ValueError, match=message):
        Topology(encoder, decoder)
