"""All sharing trees of a set of tasks: counted, listed, and numbered one to one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod

from branchpoint.topology.partitions import Group, Partition, partitions, restrict
from branchpoint.topology.topology import Topology


@dataclass(frozen=True)
class SharingTrees:
    """Every way in which tasks can share the stages of an encoder and its decoder, numbered from 0.

    Number and tree determine each other, so a search that proposes numbers proposes every network once. Number 0
    shares every stage; the last has a network for each task. For 3 tasks and 1 to 5 stages there are 5, 12, 22, 35
    and 51 trees.

    Attributes:
        tasks: all tasks.
        decoded: those of them that pass through the decoder.
        encoder: number of encoder stages.
        decoder: number of decoder stages.
    """

    tasks: Group
    decoded: Group
    encoder: int
    decoder: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(sorted(self.tasks)))
        object.__setattr__(self, "decoded", tuple(sorted(self.decoded)))
        strangers = sorted(set(self.decoded) - set(self.tasks))
        if strangers:
            raise ValueError(f"decoded: {strangers[0]!r} is none of the tasks {', '.join(self.tasks)}")
        if not self.decoded or not self.decoder:  # one way to say that nothing is decoded
            object.__setattr__(self, "decoded", ())
            object.__setattr__(self, "decoder", 0)
        if self.encoder < 1 or self.decoder < 0 or not self.tasks:
            raise ValueError("give at least one task, one encoder stage and no negative number of decoder stages")

    def __len__(self) -> int:
        return self._count(self.tasks, 0)

    def __iter__(self) -> Iterator[Topology]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Topology:
        """The topology of ``number``; IndexError past the last."""
        if not 0 <= number < len(self):
            raise IndexError(f"number is {number}: there are {len(self)} sharing trees, numbered from 0")
        stages = self._tree(self.tasks, 0, number)
        return Topology(stages[: self.encoder], stages[self.encoder :])

    def number(self, topology: Topology) -> int:
        """The number of ``topology``'s sharing tree, whatever its cascades and exchanges.

        Raises:
            ValueError: it has other tasks or stages.
        """
        same_tasks = topology.tasks == self.tasks and topology.decoder_tasks == set(self.decoded)
        if not same_tasks or (len(topology.encoder), len(topology.decoder)) != (self.encoder, self.decoder):
            raise ValueError("the topology has other tasks or stages than these sharing trees")
        return self._number(self.tasks, 0, topology.stages)

    def _present(self, group: Group, stage: int) -> Group:
        return group if stage < self.encoder else tuple(task for task in group if task in self.decoded)

    def _count(self, group: Group, stage: int) -> int:
        """Trees below one group, from ``stage`` on."""
        depths = tuple(self.encoder + self.decoder * (task in self.decoded) for task in group)
        return _count(tuple(sorted(depth - stage for depth in depths)))

    def _tree(self, group: Group, stage: int, number: int) -> tuple[Partition, ...]:
        group = self._present(group, stage)
        if stage == self.encoder + self.decoder:
            return ()
        for partition in partitions(group):
            counts = [self._count(part, stage + 1) for part in partition]
            if number < prod(counts):
                break
            number -= prod(counts)
        below = []
        for part, count in zip(partition, counts, strict=True):
            number, own = divmod(number, count)
            below.append(self._tree(part, stage + 1, own))
        empty: tuple[Partition, ...] = ((),) * (self.encoder + self.decoder - stage - 1)
        later = (tuple(group for part in stages for group in part) for stages in zip(empty, *below, strict=True))
        return (partition, *later)

    def _number(self, group: Group, stage: int, stages: tuple[Partition, ...]) -> int:
        group = self._present(group, stage)
        if stage == len(stages):
            return 0
        own = restrict(stages[stage], group)
        before = 0
        for partition in partitions(group):
            if partition == own:
                break
            before += prod(self._count(part, stage + 1) for part in partition)
        within = 0
        for part in reversed(own):
            within = within * self._count(part, stage + 1) + self._number(part, stage + 1, stages)
        return before + within


@cache
def _count(depths: tuple[int, ...]) -> int:
    """Chains of refining partitions of tasks, of which each passes that many more stages."""
    going_on = tuple(depth for depth in depths if depth > 0)
    if not going_on:
        return 1
    names = {f"{i:03}": depth for i, depth in enumerate(going_on)}
    return sum(
        prod(_count(tuple(names[name] - 1 for name in group)) for group in partition)
        for partition in partitions(tuple(names))
    )
