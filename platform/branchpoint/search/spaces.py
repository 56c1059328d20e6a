"""Parts of search spaces: which tasks are learned, where they part, what passes between them, how they are balanced.

A space module puts them together. Values that have no effect are not asked for, so that the sampler does not learn
from noise and equal networks give equal Configs; what is left is settled by the canonical form of the topology.
Parameters whose range hangs on another one bear its value in their name, as Optuna wants static ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna

from branchpoint.config import AnyTaskConfig, Config, NetworkConfig
from branchpoint.networks import stage_counts
from branchpoint.search.balancers import suggest_balancing
from branchpoint.search.links import suggest_cascades, suggest_exchanges
from branchpoint.topology import Parting, SharingTrees, grow

__all__ = [
    "depths", "learned", "measuring_point", "shared_point", "suggest_balancing", "suggest_head_inputs",
    "suggest_learned", "suggest_learning_rate", "suggest_network", "suggest_topology", "together",
]  # fmt: skip

SMALLEST_LEVEL_VOXELS = 2
HEAD_INPUTS = ("image", "both", "clinical")
TAPS = ("all", "deepest", "deepest two")


def together(tasks: Sequence[AnyTaskConfig]) -> str:
    """The choice of ``learn`` that trains all ``tasks``."""
    return "+".join(task.name for task in tasks)


def suggest_learned(trial: optuna.trial.BaseTrial, tasks: Sequence[AnyTaskConfig]) -> tuple[AnyTaskConfig, ...]:
    """``tasks`` with the weights of their losses: all learned together, or one alone (the others weigh 0).

    Parameters: ``learn``; ``weight_<task>`` against that of the first task, which is 1.
    """
    if len(tasks) == 1:
        return tuple(tasks)
    learn = trial.suggest_categorical("learn", [together(tasks), *(task.name for task in tasks)])
    if learn != together(tasks):
        return tuple(replace(task, weight=1.0 if task.name == learn else 0.0) for task in tasks)
    first, *others = tasks
    weights = {task.name: trial.suggest_float(f"weight_{task.name}", 0.1, 10.0, log=True) for task in others}
    return (replace(first, weight=1.0), *(replace(task, weight=weights[task.name]) for task in others))


def learned(tasks: Sequence[AnyTaskConfig]) -> list[AnyTaskConfig]:
    """Those of ``tasks`` that are trained."""
    return [task for task in tasks if task.weight > 0]


def depths(size_voxels: Sequence[int], shallowest: int = 3, deepest: int = 5) -> list[int]:
    """Numbers of encoder levels that the grid allows: the last level keeps two voxels along each axis."""
    smallest = min(size_voxels)
    allowed = [depth for depth in range(1, deepest + 1) if smallest // 2 ** (depth - 1) >= SMALLEST_LEVEL_VOXELS]
    return [depth for depth in allowed if depth >= shallowest] or allowed[-1:]


def suggest_network(trial: optuna.trial.BaseTrial, base: Config, tasks: Sequence[AnyTaskConfig]) -> NetworkConfig:
    """Width, depth and unit; taps and dropout where an image-level task is trained.

    Parameters: ``width`` (half, once and twice the base's), ``depth``, ``unit``, ``taps``, ``dropout``.
    """
    width = base.network.width
    unit: Any = trial.suggest_categorical("unit", ["senorm", "batchnorm", "instancenorm"])
    network = replace(
        base.network,
        width=trial.suggest_categorical("width", [max(1, width // 2), width, 2 * width]),
        depth=trial.suggest_categorical("depth", depths(base.dataset.size_voxels)),
        unit=unit,
    )
    if all(task.dense for task in learned(tasks)):
        return network
    taps = trial.suggest_categorical("taps", TAPS)
    levels = {"all": (), "deepest": (network.depth - 1,), "deepest two": (network.depth - 2, network.depth - 1)}[taps]
    return replace(network, taps=levels, dropout=trial.suggest_float("dropout", 0.0, 0.7, step=0.1))


def suggest_topology(
    trial: optuna.trial.BaseTrial, base: Config, network: NetworkConfig, tasks: Sequence[AnyTaskConfig]
) -> NetworkConfig:
    """``network`` with the sharing tree, cascades and exchanges of tasks learned together.

    Parameters, for each task but the first by name: ``<task>_from`` (the task whose path it leaves, where there is a
    choice) and ``<task>_of<stages>`` (how many stages they share; 0 is a network of its own); those of
    :func:`branchpoint.search.links.suggest_cascades` and :func:`branchpoint.search.links.suggest_exchanges`.
    """
    if len(learned(tasks)) < len(tasks) or len(tasks) == 1:
        return network
    names = sorted(task.name for task in tasks)
    dense = [task.name for task in tasks if task.dense]
    stages, decoder = stage_counts(replace(base, network=network))
    partings = {}
    for position, name in enumerate(names[1:], start=1):
        earlier = names[:position]
        parent = trial.suggest_categorical(f"{name}_from", earlier) if position > 1 else earlier[0]
        both_dense = name in dense and parent in dense
        most = stages + decoder if both_dense else stages
        partings[name] = Parting(parent, trial.suggest_int(_parting(name, most), 0, most))
    topology = grow(SharingTrees(tuple(names), tuple(dense), stages, decoder), partings)
    topology = suggest_exchanges(trial, suggest_cascades(trial, topology, tasks))
    return replace(network, topology=topology)


def suggest_head_inputs(
    trial: optuna.trial.BaseTrial, network: NetworkConfig, tasks: Sequence[AnyTaskConfig], clinical: Sequence[str]
) -> NetworkConfig:
    """``network`` whose image-level tasks see the image, the covariates ``clinical``, or both.

    Parameter: ``head_inputs``, where an image-level task is trained and the cohort has covariates. Heads that see
    clinical values alone receive no cascade.
    """
    if not clinical or all(task.dense for task in learned(tasks)):
        return network
    inputs: Any = trial.suggest_categorical("head_inputs", HEAD_INPUTS)
    if inputs == "image":
        return network
    if inputs == "clinical" and network.topology is not None:
        blind = {task.name for task in tasks if not task.dense}
        cascades = (link for link in network.topology.cascades if link.stage is not None or link.target not in blind)
        network = replace(network, topology=replace(network.topology, cascades=tuple(cascades)))
    return replace(network, head_inputs=inputs, clinical=tuple(clinical))


def shared_point(base: Config, learn: str, head_inputs: str | None = None) -> dict[str, Any]:
    """The parameter values of one network that shares every encoder stage, with the base's settings.

    Args:
        learn: :func:`together`, or the name of one task.
        head_inputs: what image-level tasks see, where the space asks for it.
    """
    tasks = base.tasks
    depth = max(depth for depth in depths(base.dataset.size_voxels) if depth <= base.network.depth)
    point: dict[str, Any] = {"width": base.network.width, "depth": depth, "unit": base.network.unit}
    point |= {"learning_rate": base.optimizer.learning_rate}
    all_of_them = learn == together(tasks)
    if len(tasks) > 1:
        point["learn"] = learn
    if any(not task.dense for task in tasks if all_of_them or task.name == learn):
        point |= {"taps": "all", "dropout": base.network.dropout}
        point |= {"head_inputs": head_inputs} if head_inputs else {}
    if all_of_them and len(tasks) > 1:
        point |= _shared_by_all(base, depth)
    return point


def measuring_point(base: Config, head_inputs: str | None = None) -> dict[str, Any]:
    """:func:`shared_point` of all tasks, whose image-level heads also get measurements of the predicted mask.

    Segment, measure, predict: volume, uptake and heterogeneity of the outlined tumour, without a contour by hand.
    """
    images = [task.name for task in base.tasks if not task.dense]
    point = shared_point(base, together(base.tasks), head_inputs) | {
        f"cascade_{name}": "measurements" for name in images
    }
    return point | {"cascade_gradient": False}


def _shared_by_all(base: Config, depth: int) -> Mapping[str, Any]:
    names = sorted(task.name for task in base.tasks)
    dense = [task.name for task in base.tasks if task.dense]
    stages, decoder = stage_counts(replace(base, network=replace(base.network, depth=depth)))
    point: dict[str, Any] = {f"weight_{task.name}": 1.0 for task in base.tasks[1:]} | {"balancing": "sum"}
    for position, name in enumerate(names[1:], start=1):
        parents = [other for other in names[:position] if (other in dense) == (name in dense)] or names[:position]
        if position > 1:
            point[f"{name}_from"] = parents[0]
        both_dense = name in dense and parents[0] in dense
        most = stages + decoder if both_dense else stages
        point[_parting(name, most)] = most
    if dense:
        point |= {f"cascade_{task.name}": "none" for task in base.tasks if not task.dense}
    return point


def _parting(task: str, most: int) -> str:
    return f"{task}_of{most}"


def suggest_learning_rate(trial: optuna.trial.BaseTrial, base: Config) -> Config:
    """``base`` with another learning rate. Parameter: ``learning_rate``."""
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    return replace(base, optimizer=replace(base.optimizer, learning_rate=rate))
