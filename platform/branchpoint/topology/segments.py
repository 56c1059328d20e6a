"""A sharing tree as segments: runs of stages that the same tasks share, for drawing."""

from __future__ import annotations

from dataclasses import dataclass

from branchpoint.topology.partitions import Group
from branchpoint.topology.topology import Topology


@dataclass(frozen=True)
class Segment:
    """Stages ``first`` to ``last``, shared by ``tasks`` and no other.

    Attributes:
        tasks: the group.
        first: first stage of the run.
        last: last stage of the run.
        heads: tasks whose path ends with it.
        children: segments that go on from it.
    """

    tasks: Group
    first: int
    last: int
    heads: Group
    children: tuple[Segment, ...]


def segments(topology: Topology) -> tuple[Segment, ...]:
    """The trees of ``topology``, one for each separate network."""
    return tuple(_segment(topology, group, 0) for group in topology.encoder[0])


def _segment(topology: Topology, tasks: Group, first: int) -> Segment:
    last, stages = first, topology.stages
    while last + 1 < len(stages) and tasks in stages[last + 1]:
        last += 1
    heads = tuple(task for task in tasks if topology.depth(task) == last + 1)
    following = stages[last + 1] if last + 1 < len(stages) else ()
    children = tuple(_segment(topology, group, last + 1) for group in following if group[0] in tasks)
    return Segment(tasks, first, last, heads, children)


def leaves(trees: tuple[Segment, ...]) -> tuple[str, ...]:
    """All tasks, so ordered that every group is contiguous."""
    found: list[str] = []
    for tree in trees:
        found += [*tree.heads, *leaves(tree.children)]
    return tuple(found)
