"""``Topology``: sharing tree, cascades and exchanges, valid and canonical by construction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from branchpoint.topology.canonical import canonical_cascades, canonical_exchanges
from branchpoint.topology.dataflow import order
from branchpoint.topology.family import Family, family
from branchpoint.topology.links import Cascade, Exchange
from branchpoint.topology.partitions import Group, Partition, canonical_partition, group_of, members, require_refinement
from branchpoint.topology.partitions import restrict as restricted
from branchpoint.values import Checked


@dataclass(frozen=True)
class Topology(Checked):
    """A multi-task network: who shares which stage, and what passes between branches.

    Stage 0 is the first encoder stage; decoder stages follow the encoder's. Only tasks of ``decoder_tasks`` pass
    through the decoder: dense tasks, and image-level tasks that are predicted from decoder features. Partitions only
    refine with depth, so sharing is a tree; tasks that part at stage 0 have separate networks. Two topologies that
    describe the same network are equal: groups are sorted and links name the first task of a group on construction.

    Attributes:
        encoder: a partition of all tasks for each encoder stage.
        decoder: a partition of the decoder's tasks for each decoder stage, which refines the encoder's last.
        cascades: outputs passed on as inputs; they must not form a circle.
        exchanges: features that pass between branches.

    Raises:
        ValueError: naming stage and tasks.
    """

    section = "topology"

    encoder: tuple[Partition, ...]
    decoder: tuple[Partition, ...] = ()
    cascades: tuple[Cascade, ...] = ()
    exchanges: tuple[Exchange, ...] = ()

    def check(self) -> None:
        set_field = object.__setattr__
        set_field(self, "encoder", _canonical_chain(self.encoder, "encoder"))
        decoder = _canonical_chain(self.decoder, "decoder")
        set_field(self, "decoder", decoder if decoder and decoder[0] else ())
        if not self.encoder or not self.encoder[0]:
            raise ValueError("topology.encoder: give at least one stage with at least one task")
        if self.decoder:
            strangers = sorted(self.decoder_tasks - set(self.tasks))
            if strangers:
                raise ValueError(f"topology.decoder: task {strangers[0]!r} passes no encoder stage; add it there")
            require_refinement(
                restricted(self.encoder[-1], self.decoder_tasks), self.decoder[0], self.place(self.n_encoder)
            )
        set_field(self, "cascades", canonical_cascades(self))
        set_field(self, "exchanges", canonical_exchanges(self))
        order(self)

    @classmethod
    def shared(cls, tasks: Iterable[str], dense: Iterable[str], encoder: int, decoder: int = 0) -> Topology:
        """All tasks share every stage; only heads differ (hard parameter sharing)."""
        return cls.branching(tasks, dense, encoder + decoder, encoder, decoder)

    @classmethod
    def separate(cls, tasks: Iterable[str], dense: Iterable[str], encoder: int, decoder: int = 0) -> Topology:
        """One network for each task."""
        return cls.branching(tasks, dense, 0, encoder, decoder)

    @classmethod
    def branching(
        cls, tasks: Iterable[str], dense: Iterable[str], depth: int, encoder: int, decoder: int = 0
    ) -> Topology:
        """All tasks share the first ``depth`` stages and have their own from there on.

        Args:
            tasks: all tasks.
            dense: those of them that pass through the decoder.
            depth: from 0 (separate networks) to ``encoder + decoder`` (only heads differ).
            encoder: number of encoder stages.
            decoder: number of decoder stages.
        """
        if not 0 <= depth <= encoder + decoder:
            raise ValueError(f"depth is {depth}: must lie from 0 to {encoder + decoder}, the number of stages")

        def chain(names: tuple[str, ...], stages: range) -> tuple[Partition, ...]:
            apart = tuple((name,) for name in names)
            return tuple((names,) if stage < depth else apart for stage in stages)

        names, maps = tuple(tasks), tuple(dense)
        last = range(encoder, encoder + decoder) if maps else range(0)
        return cls(chain(names, range(encoder)), chain(maps, last))

    @property
    def tasks(self) -> Group:
        """All tasks, sorted."""
        return tuple(sorted(members(self.encoder[0])))

    @property
    def decoder_tasks(self) -> frozenset[str]:
        """The tasks that pass through the decoder."""
        return members(self.decoder[0]) if self.decoder else frozenset()

    @property
    def n_encoder(self) -> int:
        """Number of encoder stages."""
        return len(self.encoder)

    @property
    def stages(self) -> tuple[Partition, ...]:
        """The partitions of all stages, encoder first."""
        return (*self.encoder, *self.decoder)

    @property
    def shares_all(self) -> bool:
        """Whether all tasks share every stage that they pass, with neither cascades nor exchanges."""
        return not (self.cascades or self.exchanges) and all(len(partition) == 1 for partition in self.stages)

    def place(self, stage: int) -> str:
        """Name of ``stage`` in messages and drawings, such as ``decoder stage 1``."""
        return f"encoder stage {stage}" if stage < self.n_encoder else f"decoder stage {stage - self.n_encoder}"

    def depth(self, task: str) -> int:
        """Number of stages that ``task`` passes through."""
        return len(self.stages) if task in self.decoder_tasks else self.n_encoder

    def group(self, task: str, stage: int) -> Group:
        """The tasks that share ``stage`` with ``task``, itself among them; KeyError where it does not pass it."""
        return group_of(self.stages[stage], task)

    def branching_point(self, a: str, b: str) -> int:
        """The depth at which ``a`` and ``b`` part: the first stage that they do not share.

        Tasks that share all the stages which both pass through part at their end, where the heads are.
        """
        common = min(self.depth(a), self.depth(b))
        return next((stage for stage in range(common) if b not in self.group(a, stage)), common)

    @property
    def family(self) -> Family:
        """``single``, ``parallel``, ``cascaded``, ``interacted`` or ``hybrid``; see :func:`family`."""
        return family(self)


def _canonical_chain(chain: Iterable[Iterable[Iterable[str]]], part: str) -> tuple[Partition, ...]:
    stages = tuple(canonical_partition(groups, f"{part} stage {i}") for i, groups in enumerate(chain))
    for i, (coarse, fine) in enumerate(pairwise(stages), start=1):
        place = f"{part} stage {i}"
        differing = sorted(members(coarse) ^ members(fine))
        if differing:
            raise ValueError(
                f"{place}: task {differing[0]!r} is not in every {part} stage; each stage has the same tasks"
            )
        require_refinement(coarse, fine, place)
    return stages
