"""Which tasks share which stages of a network: one value for every multi-task network.

Pure values: no torch. Stage 0 is the first encoder stage; after the encoder stages come the decoder stages,
which only dense tasks (those that give a map) pass through. At each stage a partition says which tasks share
its weights; partitions only refine with depth, so sharing is a tree.
"""

from __future__ import annotations

from dataclasses import dataclass

Partition = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Topology:
    """The sharing tree of a multi-task network.

    Attributes:
        encoder: one partition of all tasks for each encoder stage, coarse to fine.
        decoder: one partition of the dense tasks for each decoder stage, refining the last encoder partition.
    """

    encoder: tuple[Partition, ...]
    decoder: tuple[Partition, ...] = ()
