"""Validation and canonical form of cascades and exchanges."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from branchpoint.topology.links import Cascade, Exchange, Unit

if TYPE_CHECKING:
    from branchpoint.topology.topology import Topology

NUMBERS = ("masked_features", "measurements")


def canonical_cascades(topology: Topology) -> tuple[Cascade, ...]:
    """``topology``'s cascades, each once, sorted, with the first task of the groups that they leave and enter.

    Raises:
        ValueError: a cascade does not fit the sharing tree; the message names stage and tasks.
    """
    unique: dict[tuple[str, str, str, int], Cascade] = {}
    for cascade in topology.cascades:
        _check_cascade(topology, cascade)
        source, target = cascade.source, cascade.target
        if cascade.stage is not None:
            target = topology.group(target, cascade.stage)[0]
        if cascade.carries == "features":
            last = topology.depth(source) - 1
            source = next(task for task in topology.group(source, last) if topology.depth(task) == last + 1)
        key = (source, target, cascade.carries, -1 if cascade.stage is None else cascade.stage)
        same = replace(cascade, source=source, target=target)
        if unique.setdefault(key, same) != same:
            raise ValueError(
                f"topology.cascades: {cascade.carries} of {source!r} reach {target!r} both with and without gradient"
            )
    return tuple(unique[key] for key in sorted(unique))


def _check_cascade(topology: Topology, cascade: Cascade) -> None:
    source, target, stage = cascade.source, cascade.target, cascade.stage
    where = f"cascade of {cascade.carries} from {source!r} to {target!r}"
    for task in (source, target):
        if task not in topology.tasks:
            raise ValueError(f"{where}: there is no task {task!r}; there are {', '.join(topology.tasks)}")
    if source == target:
        raise ValueError(f"{where}: a task cannot receive its own output")
    if cascade.carries in NUMBERS:
        if stage is not None:
            raise ValueError(f"{where}: these are numbers and go to the head; leave out the stage, found {stage}")
        if source not in topology.decoder_tasks:
            raise ValueError(f"{where}: {source!r} passes no decoder, so it predicts no mask")
    last = topology.depth(source) - 1
    if cascade.carries == "features" and topology.depth(target) > last and source in topology.group(target, last):
        raise ValueError(f"{where}: they share {topology.place(last)}, so {target!r} has these features already")
    if stage is None:
        return
    if not 0 <= stage < topology.depth(target):
        raise ValueError(f"{where}: stage is {stage}, but {target!r} has stages 0 to {topology.depth(target) - 1}")
    if stage < topology.depth(source) and source in topology.group(target, stage):
        raise ValueError(
            f"{where}: they share {topology.place(stage)}, which would need its own result; "
            f"enter after their branching point, {topology.branching_point(source, target)}"
        )


def canonical_exchanges(topology: Topology) -> tuple[Exchange, ...]:
    """``topology``'s exchanges, each once, sorted, between the first tasks of the groups.

    Raises:
        ValueError: an exchange does not fit the sharing tree; the message names stage and tasks.
    """
    ways: dict[tuple[int, str, str], Unit] = {}
    for exchange in topology.exchanges:
        _check_exchange(topology, exchange)
        for giver, taker in exchange.directions:
            giver, taker = (topology.group(task, exchange.stage)[0] for task in (giver, taker))
            _check_end(topology, exchange, giver)
            key = (exchange.stage, giver, taker)
            if ways.setdefault(key, exchange.unit) != exchange.unit:
                raise ValueError(
                    f"exchange at {topology.place(exchange.stage)} from {giver!r} to {taker!r}: both "
                    f"{ways[key]} and {exchange.unit}; choose one"
                )
    _check_units(topology, ways)
    found = []
    for (stage, giver, taker), unit in sorted(ways.items()):
        both = ways.get((stage, taker, giver)) == unit
        if not both or giver < taker:
            found.append(Exchange(stage=stage, source=giver, target=taker, unit=unit, both_ways=both))
    return tuple(found)


def _check_exchange(topology: Topology, exchange: Exchange) -> None:
    source, target = exchange.source, exchange.target
    for task in (source, target):
        if task not in topology.tasks:
            raise ValueError(f"exchange from {source!r} to {target!r}: there is no task {task!r}")
        if not 0 <= exchange.stage < topology.depth(task):
            raise ValueError(
                f"exchange from {source!r} to {target!r}: stage is {exchange.stage}, but {task!r} has stages 0 to "
                f"{topology.depth(task) - 1}"
            )
    if source in topology.group(target, exchange.stage):
        raise ValueError(
            f"exchange at {topology.place(exchange.stage)}: {source!r} and {target!r} share it; features pass "
            f"between branches, from stage {topology.branching_point(source, target)} on"
        )


def _check_end(topology: Topology, exchange: Exchange, giver: str) -> None:
    ending = [t for t in topology.group(giver, exchange.stage) if topology.depth(t) == exchange.stage + 1]
    if exchange.unit == "concatenation" and ending:
        raise ValueError(
            f"exchange at {topology.place(exchange.stage)}: the branch of {ending[0]!r} ends there; concatenating its "
            f"last features is a cascade, write Cascade(source={ending[0]!r}, carries='features', ...)"
        )


def _check_units(topology: Topology, ways: dict[tuple[int, str, str], Unit]) -> None:
    mixing: dict[tuple[int, str], Unit] = {}
    for (stage, _, taker), unit in ways.items():
        if unit != "concatenation" and mixing.setdefault((stage, taker), unit) != unit:
            raise ValueError(
                f"exchange at {topology.place(stage)}: {taker!r} receives by {mixing[stage, taker]} and by {unit}; "
                "one branch mixes by one unit at a stage"
            )
