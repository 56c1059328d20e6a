"""Parts of search spaces: what passes between the branches of a sharing tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from branchpoint.config import AnyTaskConfig
from branchpoint.search.space.trial import Trial
from branchpoint.topology import Cascade, Exchange, Topology

CASCADES = ("none", "probabilities", "features", "masked_features", "measurements")
EXCHANGES = ("none", "cross_stitch", "nddr", "concatenation", "attention")
WAYS = ("none", "both ways", "forth", "back")


def suggest_cascades(trial: Trial, topology: Topology, tasks: Sequence[AnyTaskConfig]) -> Topology:
    """``topology`` with cascades from the first task with a mask to each image-level task.

    Parameters: ``cascade_<task>`` for each image-level task, what its head gets; ``mask_as_input_<task>`` for the first
    task of each network that the dense task is no part of, whether that sees the predicted mask beside the image;
    ``cascade_gradient`` where there are cascades, whether the receiving tasks' losses also train the dense task.
    """
    dense = next((task.name for task in tasks if task.predicts_mask), None)
    if dense is None:
        return topology
    cascades: list[Cascade] = []
    for task in tasks:
        if not task.dense:
            carries: Any = trial.suggest_categorical(f"cascade_{task.name}", CASCADES)
            cascades += [Cascade(source=dense, target=task.name, carries=carries)] if carries != "none" else []
    for group in topology.encoder[0]:
        if dense not in group and trial.suggest_categorical(f"mask_as_input_{group[0]}", [False, True]):
            cascades.append(Cascade(source=dense, target=group[0], carries="probabilities", stage=0))
    if not cascades:
        return topology
    gradient = trial.suggest_categorical("cascade_gradient", [True, False])
    return replace(topology, cascades=tuple(replace(cascade, gradient=gradient) for cascade in cascades))


def suggest_exchanges(trial: Trial, topology: Topology) -> Topology:
    """``topology`` with exchanges between branches that have stages in common.

    Parameters: ``exchange``, the unit; for each pair of tasks that part before their last common stage,
    ``exchange_<a>_<b>``, in which ways features pass, and ``exchange_at_<a>_<b>``, at which of those stages (0 the
    first, 1 the last). Masks that are inputs rule exchanges out, since these could lead back to the mask.
    """
    apart = {pair: _exchangeable(topology, *pair) for pair in combinations(topology.tasks, 2)}
    apart = {pair: stages for pair, stages in apart.items() if stages}
    if not apart or any(cascade.stage == 0 for cascade in topology.cascades):
        return topology
    unit: Any = trial.suggest_categorical("exchange", EXCHANGES)
    if unit == "none":
        return topology
    exchanges = []
    for (a, b), stages in apart.items():
        if unit == "concatenation":  # where a branch ends, that is a cascade of features
            stages = [stage for stage in stages if stage + 1 < min(_shortest(topology, task, stage) for task in (a, b))]
        ways = trial.suggest_categorical(f"exchange_{a}_{b}", WAYS)
        if ways == "none" or not stages:
            continue
        place = trial.suggest_float(f"exchange_at_{a}_{b}", 0.0, 1.0)
        source, target = (b, a) if ways == "back" else (a, b)
        stage = stages[min(int(place * len(stages)), len(stages) - 1)]
        both = ways == "both ways"
        exchanges.append(Exchange(stage=stage, source=source, target=target, unit=unit, both_ways=both))
    return replace(topology, exchanges=tuple(exchanges))


def _exchangeable(topology: Topology, a: str, b: str) -> list[int]:
    """The stages that both pass in branches of their own."""
    return list(range(topology.branching_point(a, b), min(topology.depth(a), topology.depth(b))))


def _shortest(topology: Topology, task: str, stage: int) -> int:
    """The least depth among the tasks that share ``stage`` with ``task``."""
    return min(topology.depth(other) for other in topology.group(task, stage))
