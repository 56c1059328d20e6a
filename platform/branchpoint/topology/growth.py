"""Sharing trees grown task by task: a description whose neighbours are neighbouring networks, for searches.

Each task but the first leaves the path of an earlier task (its parent) at some depth. Every tree can be grown so;
several descriptions can grow the same tree, and :func:`partings` gives the one that stands for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from branchpoint.topology.enumeration import SharingTrees
from branchpoint.topology.partitions import Partition
from branchpoint.topology.topology import Topology


@dataclass(frozen=True)
class Parting:
    """A task shares the stages before ``depth`` with ``parent``, and has its own from there on."""

    parent: str
    depth: int


def grow(trees: SharingTrees, partings: Mapping[str, Parting]) -> Topology:
    """The topology in which each task of ``trees`` but the first parts from an earlier one as ``partings`` says.

    A depth past the last stage that both tasks pass through means that they share all of those.

    Raises:
        ValueError: a task has no parting, a later parent, or a negative depth.
    """
    stages: list[list[list[str]]] = [[] for _ in range(trees.encoder + trees.decoder)]
    for position, task in enumerate(trees.tasks):
        parting = partings.get(task) if position else Parting(task, 0)
        if parting is None:
            raise ValueError(f"task {task!r} has no parting: name an earlier task and a depth")
        if position and parting.parent not in trees.tasks[:position]:
            raise ValueError(
                f"parent of {task!r} is {parting.parent!r}: choose an earlier task, {', '.join(trees.tasks[:position])}"
            )
        if parting.depth < 0:
            raise ValueError(f"depth of {task!r} is {parting.depth}: must be at least 0")
        for depth in range(len(stages) if task in trees.decoded else trees.encoder):
            group = next((group for group in stages[depth] if parting.parent in group), None)
            if group is not None and depth < parting.depth:
                group.append(task)
            else:
                stages[depth].append([task])
    chain: tuple[Partition, ...] = tuple(tuple(tuple(group) for group in stage) for stage in stages)
    return Topology(chain[: trees.encoder], chain[trees.encoder :])


def join(topology: Topology, task: str, parting: Parting, *, decoded: bool = False) -> Topology:
    """``topology`` with one task more, which parts from the path of one that is there; links stay as they are.

    Args:
        decoded: it passes through the decoder, where there is one.

    Raises:
        ValueError: the parent is none of the topology's tasks, or the task is one already.
    """
    if parting.parent not in topology.tasks or task in topology.tasks:
        raise ValueError(
            f"task {task!r} is to part from {parting.parent!r}: name a new task and one of {', '.join(topology.tasks)}"
        )
    stages: list[Partition] = []
    for depth, partition in enumerate(topology.stages):
        if depth >= topology.n_encoder and not decoded:
            stages.append(partition)
            continue
        shared = depth < parting.depth and any(parting.parent in group for group in partition)
        joined = tuple((*group, task) if shared and parting.parent in group else group for group in partition)
        stages.append(joined if shared else (*joined, (task,)))
    encoder, decoder = tuple(stages[: topology.n_encoder]), tuple(stages[topology.n_encoder :])
    return replace(topology, encoder=encoder, decoder=decoder)


def partings(topology: Topology) -> dict[str, Parting]:
    """The partings that grow ``topology``'s sharing tree: the deepest, and the first parent that allows it."""
    found = {}
    for position, task in enumerate(topology.tasks[1:], start=1):
        points = {other: topology.branching_point(task, other) for other in topology.tasks[:position]}
        parent = max(points, key=lambda other: points[other])
        found[task] = Parting(parent, points[parent])
    return found
