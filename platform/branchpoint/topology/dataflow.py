"""Who reads whom: the graph of computations that a topology describes."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Literal

from branchpoint.topology.links import Cascade, Unit
from branchpoint.topology.partitions import Group

if TYPE_CHECKING:
    from branchpoint.topology.topology import Topology


@dataclass(frozen=True, order=True)
class Node:
    """One computation: a stage of a group, an exchange that replaces what a stage gave, or the head of a task.

    Attributes:
        kind: ``stage``, ``exchange`` or ``head``.
        stage: its depth; the number of stages before it for heads.
        tasks: the group that shares it.
    """

    kind: Literal["stage", "exchange", "head"]
    stage: int
    tasks: Group


def stage_node(topology: Topology, task: str, stage: int) -> Node:
    """The stage ``stage`` of ``task``'s group."""
    return Node("stage", stage, topology.group(task, stage))


def head_node(topology: Topology, task: str) -> Node:
    """The head of ``task``."""
    return Node("head", topology.depth(task), (task,))


def output_node(topology: Topology, task: str, stage: int) -> Node:
    """What later stages of ``task`` see of ``stage``: its exchange where it has one, else the stage itself."""
    group = topology.group(task, stage)
    return Node("exchange" if mixed_with(topology, stage, group) else "stage", stage, group)


def mixed_with(topology: Topology, stage: int, group: Group) -> tuple[str, ...]:
    """First tasks of the groups whose features change ``group``'s at ``stage`` (by all units but concatenation)."""
    return tuple(
        giver for giver, taker, unit in _passing(topology, stage) if unit != "concatenation" and taker in group
    )


def mixing_unit(topology: Topology, group: Group, stage: int) -> Unit:
    """The unit by which ``group`` receives features at ``stage``; StopIteration where it receives none."""
    return next(unit for _, taker, unit in _passing(topology, stage) if unit != "concatenation" and taker in group)


def joined_with(topology: Topology, node: Node) -> tuple[str, ...]:
    """First tasks of the groups whose features, one stage earlier, join the input of ``node`` by concatenation."""
    if node.kind == "exchange":
        return ()
    before = node.stage - 1
    return tuple(
        giver
        for giver, taker, unit in _passing(topology, before)
        if unit == "concatenation" and node.tasks[0] in topology.group(taker, before)
    )


def _passing(topology: Topology, stage: int) -> list[tuple[str, str, Unit]]:
    """(giver, taker, unit) of each way in which features pass after ``stage``."""
    exchanges = [exchange for exchange in topology.exchanges if exchange.stage == stage]
    return [(giver, taker, exchange.unit) for exchange in exchanges for giver, taker in exchange.directions]


def received(topology: Topology, node: Node) -> tuple[Cascade, ...]:
    """The cascades that ``node`` receives."""
    stage = None if node.kind == "head" else node.stage
    if node.kind == "exchange":
        return ()
    return tuple(cascade for cascade in topology.cascades if cascade.stage == stage and cascade.target in node.tasks)


def passed_on(topology: Topology, cascade: Cascade) -> Node:
    """The computation whose result ``cascade`` carries; the mask that it is made from, for pooling and measuring."""
    if cascade.carries == "features":
        return output_node(topology, cascade.source, topology.depth(cascade.source) - 1)
    return head_node(topology, cascade.source)


def nodes(topology: Topology) -> tuple[Node, ...]:
    """All computations, stage by stage, heads last."""
    found = []
    for stage, partition in enumerate(topology.stages):
        found += [Node("stage", stage, group) for group in partition]
        found += [Node("exchange", stage, group) for group in partition if mixed_with(topology, stage, group)]
    return (*found, *(head_node(topology, task) for task in topology.tasks))


def reads(topology: Topology, node: Node) -> tuple[Node, ...]:
    """The computations whose results ``node`` needs at once (skips and taps, which come earlier, left out)."""
    task = node.tasks[0]
    if node.kind == "exchange":
        givers = mixed_with(topology, node.stage, node.tasks)
        return tuple(stage_node(topology, name, node.stage) for name in (task, *givers))
    below = (output_node(topology, task, node.stage - 1),) if node.stage else ()
    joined = tuple(stage_node(topology, giver, node.stage - 1) for giver in joined_with(topology, node))
    return (*below, *joined, *(passed_on(topology, cascade) for cascade in received(topology, node)))


def order(topology: Topology) -> tuple[Node, ...]:
    """All computations, each after those that it needs.

    Raises:
        ValueError: cascades and exchanges form a circle; the message names its stages and tasks.
    """
    sorter = TopologicalSorter({node: reads(topology, node) for node in nodes(topology)})
    try:
        return tuple(sorter.static_order())
    except CycleError as problem:
        circle = " <- ".join(describe(topology, node) for node in problem.args[1])
        raise ValueError(f"topology.cascades: a result would be needed before it is computed: {circle}") from None


def describe(topology: Topology, node: Node) -> str:
    """``node`` in words, such as ``encoder stage 1 of a and b``."""
    names = " and ".join(node.tasks)
    if node.kind == "head":
        return f"head of {names}"
    return f"{'exchange at ' if node.kind == 'exchange' else ''}{topology.place(node.stage)} of {names}"


def ancestors(topology: Topology, task: str) -> frozenset[Node]:
    """Every computation that ``task``'s output depends on, its head among them."""
    found: set[Node] = set()
    open_nodes = [head_node(topology, task)]
    while open_nodes:
        node = open_nodes.pop()
        if node not in found:
            found.add(node)
            open_nodes += reads(topology, node)
    return frozenset(found)


def next_nodes(topology: Topology, task: str, stage: int) -> tuple[Node, ...]:
    """The stages and heads that follow ``stage`` of ``task``'s group."""
    group = topology.group(task, stage)
    following = {
        stage_node(topology, name, stage + 1) if topology.depth(name) > stage + 1 else head_node(topology, name)
        for name in group
    }
    return tuple(sorted(following))
