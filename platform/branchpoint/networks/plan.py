"""The steps of a forward pass, in order, with the positions of the results that each one reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from branchpoint.topology import Topology
from branchpoint.topology.dataflow import (
    Node,
    joined_with,
    mixed_with,
    order,
    output_node,
    passed_on,
    received,
    stage_node,
)
from branchpoint.topology.links import Content

IMAGE = -1
"""Position that stands for the input image."""


@dataclass(frozen=True)
class Received:
    """What a step receives by a cascade: the result at ``position``, from ``source``."""

    carries: Content
    source: str
    position: int
    gradient: bool


@dataclass(frozen=True)
class Step:
    """One computation.

    Attributes:
        part: which module list holds its module.
        stage: stage within encoder or decoder; for exchanges over both.
        group: position of its group in the stage's partition.
        task: first task of the group; the task of a head.
        below: result that is its usual input.
        skip: result that a decoder stage joins.
        path: results of the deepest encoder stage and of all decoder stages so far.
        taps: results whose averages an image-level head takes.
        joined: results that join its input by concatenation.
        mixed: results of other branches that an exchange mixes in.
        received: what cascades bring.
        last_uses: results that no later step reads.
    """

    part: Literal["encoder", "decoder", "exchange", "head"]
    stage: int
    group: int
    task: str
    below: int
    skip: int = IMAGE
    path: tuple[int, ...] = ()
    taps: tuple[int, ...] = ()
    joined: tuple[int, ...] = ()
    mixed: tuple[int, ...] = ()
    received: tuple[Received, ...] = ()
    last_uses: tuple[int, ...] = ()

    @property
    def reads(self) -> set[int]:
        """Positions of all results that it reads."""
        links = (link.position for link in self.received)
        return {self.below, self.skip, *self.path, *self.taps, *self.joined, *self.mixed, *links} - {IMAGE}


def plan(topology: Topology, skips: tuple[int, ...], taps: Collection[int]) -> tuple[Step, ...]:
    """The steps of ``topology``'s forward pass.

    Args:
        topology: what to compute.
        skips: encoder level that each decoder stage joins; -1 for the image.
        taps: encoder levels whose averages feed the heads of tasks that pass no decoder.
    """
    nodes = order(topology)
    positions = {node: position for position, node in enumerate(nodes)}
    steps = [_step(topology, node, positions, skips, taps) for node in nodes]
    needed: set[int] = set()
    for position in reversed(range(len(steps))):
        reads = steps[position].reads
        steps[position] = replace(steps[position], last_uses=tuple(sorted(reads - needed)))
        needed |= reads
    return tuple(steps)


def idle_steps(steps: Sequence[Step], blind: Collection[str]) -> frozenset[int]:
    """Positions of the steps that no head needs, if those of the tasks ``blind`` look at none."""
    needed: set[int] = set()
    for position in reversed(range(len(steps))):
        step = steps[position]
        if step.part == "head":
            needed |= {position, *(() if step.task in blind else step.reads)}
        elif position in needed:
            needed |= step.reads
    return frozenset(range(len(steps))) - needed


def _step(
    topology: Topology, node: Node, positions: dict[Node, int], skips: tuple[int, ...], taps: Collection[int]
) -> Step:
    task, encoder = node.tasks[0], topology.n_encoder

    def at(stage: int) -> int:
        return positions[output_node(topology, task, stage)]

    if node.kind == "exchange":
        givers = mixed_with(topology, node.stage, node.tasks)
        own, *others = (positions[stage_node(topology, name, node.stage)] for name in (task, *givers))
        group = topology.stages[node.stage].index(node.tasks)
        return Step("exchange", node.stage, group, task, own, mixed=tuple(others))
    below = at(node.stage - 1) if node.stage else IMAGE
    joined = tuple(positions[stage_node(topology, giver, node.stage - 1)] for giver in joined_with(topology, node))
    links = tuple(
        Received(cascade.carries, cascade.source, positions[passed_on(topology, cascade)], cascade.gradient)
        for cascade in received(topology, node)
    )
    decoded = task in topology.decoder_tasks
    path = tuple(at(stage) for stage in range(encoder - 1, node.stage)) if decoded else ()
    if node.kind == "head":
        pooled = path[-1:] if decoded else tuple(at(tap) for tap in taps)
        return Step("head", 0, 0, task, below, path=path, taps=pooled, joined=joined, received=links)
    group = topology.stages[node.stage].index(node.tasks)
    if node.stage < encoder:
        return Step("encoder", node.stage, group, task, below, joined=joined, received=links)
    step = node.stage - encoder
    skip = at(skips[step]) if skips[step] >= 0 else IMAGE
    return Step("decoder", step, group, task, below, skip, path, joined=joined, received=links)
