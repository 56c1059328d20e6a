"""Parts of search spaces: which tasks are learned, where they part, what passes between them, how they are balanced.

A space module puts them together. Values that have no effect are not asked for, so that the sampler does not learn
from noise and equal networks give equal Configs; what is left is settled by the canonical form of the topology.
Parameters whose range hangs on another one bear its value in their name, as Optuna wants static ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from branchpoint.config import AnyTaskConfig, Config, NetworkConfig
from branchpoint.networks import stage_counts
from branchpoint.search.space.balancing import suggest_balancing
from branchpoint.search.space.links import suggest_cascades, suggest_exchanges
from branchpoint.search.space.trial import Trial
from branchpoint.topology import Parting, SharingTrees, grow, join

__all__ = [
    "candidates_learn",
    "depths",
    "learned",
    "main_tasks",
    "measuring_point",
    "shared_point",
    "suggest_balancing",
    "suggest_head_inputs",
    "suggest_heads",
    "suggest_learned",
    "suggest_learning_rate",
    "suggest_network",
    "suggest_topology",
    "suggest_width",
    "together",
]

SMALLEST_LEVEL_VOXELS = 2
HEAD_INPUTS = ("image", "both", "clinical")
TAPS = ("all", "deepest", "deepest two")
"""Levels that image-level heads see; the position is how many of the deepest, 0 for all."""


def main_tasks(tasks: Sequence[AnyTaskConfig]) -> list[AnyTaskConfig]:
    """Those of ``tasks`` that a study is about: all but the auxiliary ones."""
    return [task for task in tasks if not task.auxiliary]


def together(tasks: Sequence[AnyTaskConfig]) -> str:
    """The choice of ``learn`` that trains all ``tasks``, auxiliary ones aside."""
    return "+".join(task.name for task in main_tasks(tasks))


def candidates_learn(tasks: Sequence[AnyTaskConfig]) -> dict[str, str]:
    """The value of ``learn`` of all candidates: where every task counts, a network of one task cannot win.

    Networks of one task are references, which are trained after the search. Networks that share nothing are candidates:
    they part at depth 0. Empty where a task does not count, as leaving it out may then be the answer.
    """
    main = main_tasks(tasks)
    return {"learn": together(tasks)} if len(main) > 1 and all(task.importance > 0 for task in main) else {}


def suggest_learned(trial: Trial, tasks: Sequence[AnyTaskConfig]) -> tuple[AnyTaskConfig, ...]:
    """``tasks`` with the weights of their losses: all learned together, or one alone (the others weigh 0).

    Parameters: ``learn``; ``weight_<task>`` against that of the first task, which is 1; ``with_<task>`` for each
    auxiliary task, whether it is learned beside them.
    """
    first, *others = main_tasks(tasks)
    learn = together(tasks)
    if others:
        learn = trial.suggest_categorical("learn", [learn, first.name, *(task.name for task in others)])
    if learn == together(tasks):
        weights = {first.name: 1.0} | {task.name: _suggest_weight(trial, task) for task in others}
    else:
        weights = {task.name: 1.0 if task.name == learn else 0.0 for task in (first, *others)}
    for task in tasks:
        if task.auxiliary:
            chosen = trial.suggest_categorical(f"with_{task.name}", [False, True])
            weights[task.name] = _suggest_weight(trial, task) if chosen else 0.0
    return tuple(replace(task, weight=weights[task.name]) for task in tasks)


def _suggest_weight(trial: Trial, task: AnyTaskConfig) -> float:
    return trial.suggest_float(f"weight_{task.name}", 0.1, 10.0, log=True)


def learned(tasks: Sequence[AnyTaskConfig]) -> list[AnyTaskConfig]:
    """Those of ``tasks`` that are trained."""
    return [task for task in tasks if task.weight > 0]


def depths(size_voxels: Sequence[int], shallowest: int = 3, deepest: int = 5) -> list[int]:
    """Numbers of encoder levels that the grid allows: the last level keeps two voxels along each axis."""
    smallest = min(size_voxels)
    allowed = [depth for depth in range(1, deepest + 1) if smallest // 2 ** (depth - 1) >= SMALLEST_LEVEL_VOXELS]
    return [depth for depth in allowed if depth >= shallowest] or allowed[-1:]


def suggest_network(trial: Trial, base: Config, tasks: Sequence[AnyTaskConfig]) -> NetworkConfig:
    """Width, depth and unit; taps and dropout where an image-level task is trained.

    Parameters: ``depth``, ``unit``; those of :func:`suggest_width` and :func:`suggest_heads`.
    """
    unit: Any = trial.suggest_categorical("unit", ["senorm", "batchnorm", "instancenorm"])
    width = suggest_width(trial, base)
    depth = trial.suggest_categorical("depth", depths(base.dataset.size_voxels))
    network = replace(base.network.at_depth(base.network.encoder, depth), width=width, unit=unit)
    return suggest_heads(trial, network, tasks)


def suggest_width(trial: Trial, base: Config) -> int:
    """Channels of the first level. Parameter: ``width``, half, once and twice the base's."""
    width = base.network.width
    return trial.suggest_categorical("width", [max(1, width // 2), width, 2 * width])


def suggest_heads(trial: Trial, network: NetworkConfig, tasks: Sequence[AnyTaskConfig]) -> NetworkConfig:
    """``network`` with taps and dropout, where an image-level head is trained. Parameters: ``taps``, ``dropout``."""
    if not _with_head(network, learned(tasks)):
        return network
    taps = trial.suggest_categorical("taps", TAPS)
    levels = {"all": (), "deepest": (network.depth - 1,), "deepest two": (network.depth - 2, network.depth - 1)}[taps]
    return replace(network, taps=levels, dropout=trial.suggest_float("dropout", 0.0, 0.7, step=0.1))


def _with_head(network: NetworkConfig, tasks: Sequence[AnyTaskConfig]) -> bool:
    """Whether a task reads pooled features; regression units have neither taps nor dropout."""
    return any(not task.dense and task.name not in dict(network.regression_units) for task in tasks)


def suggest_topology(
    trial: Trial, base: Config, network: NetworkConfig, tasks: Sequence[AnyTaskConfig]
) -> NetworkConfig:
    """``network`` with the sharing tree, cascades and exchanges of tasks learned together.

    Parameters, for each task but the first by name: ``<task>_from`` (the task whose path it leaves, where there is a
    choice) and ``<task>_of<stages>`` (how many stages they share; 0 is a network of its own); those of
    :func:`branchpoint.search.space.links.suggest_cascades` and
    :func:`branchpoint.search.space.links.suggest_exchanges`. Auxiliary tasks leave the path of one of the others, and
    no cascade leads to their heads.
    """
    main, trained = main_tasks(tasks), {task.name for task in learned(tasks)}
    joint = len(main) > 1 and all(task.name in trained for task in main)
    extra = [task for task in tasks if task.auxiliary]
    if not joint and not any(task.name in trained for task in extra):
        return network
    names = sorted(task.name for task in main)
    dense = [task.name for task in tasks if task.dense]
    counts = stage_counts(replace(base, network=network))

    def part(name: str, parents: Sequence[str], asked: bool) -> Parting:
        parent = trial.suggest_categorical(f"{name}_from", parents) if asked and len(parents) > 1 else parents[0]
        most = sum(counts) if name in dense and parent in dense else counts[0]
        return Parting(parent, trial.suggest_int(_parting(name, most), 0, most) if asked else most)

    trees = SharingTrees(tuple(names), tuple(name for name in dense if name in names), *counts)
    topology = grow(trees, {name: part(name, names[:place], joint) for place, name in enumerate(names) if place})
    parents = names if joint else [name for name in names if name in trained]
    for task in extra:
        topology = join(topology, task.name, part(task.name, parents, task.name in trained), decoded=task.dense)
    topology = suggest_cascades(trial, topology, main) if joint else topology
    return replace(network, topology=suggest_exchanges(trial, topology) if joint else topology)


def suggest_head_inputs(
    trial: Trial, network: NetworkConfig, tasks: Sequence[AnyTaskConfig], clinical: Sequence[str]
) -> NetworkConfig:
    """``network`` whose image-level tasks see the image, the covariates ``clinical``, or both.

    Parameter: ``head_inputs``, where an image-level task is trained and the cohort has covariates. Heads that see
    clinical values alone receive no cascade.
    """
    if not clinical or all(task.dense for task in main_tasks(learned(tasks))):
        return network
    inputs: Any = trial.suggest_categorical("head_inputs", HEAD_INPUTS)
    if inputs == "image":
        return network
    if inputs == "clinical" and network.topology is not None:
        blind = {task.name for task in tasks if not task.dense}
        cascades = (link for link in network.topology.cascades if link.stage is not None or link.target not in blind)
        network = replace(network, topology=replace(network.topology, cascades=tuple(cascades)))
    return replace(network, head_inputs=inputs, clinical=tuple(clinical))


def shared_point(
    base: Config,
    learn: str,
    head_inputs: str | None = None,
    *,
    auxiliary: Sequence[str] = (),
    network: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The parameter values of one network that shares every encoder stage, with the base's settings.

    Args:
        learn: :func:`together`, or the name of one task.
        head_inputs: what image-level tasks see, where the space asks for it.
        auxiliary: names of auxiliary tasks that are learned beside.
        network: what the space asks for the base's encoder; by default what :func:`suggest_network` asks for.
    """
    main, size = main_tasks(base.tasks), base.dataset.size_voxels
    if network is None:
        depth = max(depth for depth in depths(size) if depth <= base.network.depth)
        network = {"width": base.network.width, "depth": depth, "unit": base.network.unit}
    settings = replace(base.network, depth=network.get("depth", base.network.depth))
    point: dict[str, Any] = {**network, "learning_rate": base.optimizer.learning_rate}
    joint = learn == together(base.tasks)
    trained = main if joint else [task for task in main if task.name == learn]
    trained = [*trained, *(task for task in base.tasks if task.name in auxiliary)]
    if len(main) > 1:
        point["learn"] = learn
    if _with_head(settings, trained):
        point |= {"taps": TAPS[len(base.network.taps)], "dropout": base.network.dropout}
    if head_inputs and any(not task.dense for task in main_tasks(trained)):
        point["head_inputs"] = head_inputs
    point |= {f"with_{task.name}": task.name in auxiliary for task in base.tasks if task.auxiliary}
    point |= {"balancing": "sum"} if len(trained) > 1 else {}
    counts = stage_counts(replace(base, network=settings))
    if joint and len(main) > 1:
        point |= _shared_by_all(main, counts)
    parents = sorted(task.name for task in main) if joint else [learn]
    for task in trained:
        if task.auxiliary:
            point |= {f"weight_{task.name}": 1.0} | _sharing(task, [t for t in main if t.name in parents], counts)
    return point


def measuring_point(
    base: Config, head_inputs: str | None = None, network: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """:func:`shared_point` of all tasks, whose image-level heads also get measurements of the predicted mask.

    Segment, measure, predict: volume, uptake and heterogeneity of the outlined tumour, without a contour by hand.
    """
    images = [task.name for task in main_tasks(base.tasks) if not task.dense]
    point = shared_point(base, together(base.tasks), head_inputs, network=network) | {
        f"cascade_{name}": "measurements" for name in images
    }
    return point | {"cascade_gradient": False}


def _shared_by_all(tasks: Sequence[AnyTaskConfig], counts: tuple[int, int]) -> Mapping[str, Any]:
    ordered = sorted(tasks, key=lambda task: task.name)
    point: dict[str, Any] = {f"weight_{task.name}": 1.0 for task in tasks[1:]}
    for position, task in enumerate(ordered[1:], start=1):
        point |= _sharing(task, ordered[:position], counts)
    if any(task.dense for task in tasks):
        point |= {f"cascade_{task.name}": "none" for task in tasks if not task.dense}
    return point


def _sharing(task: AnyTaskConfig, parents: Sequence[AnyTaskConfig], counts: tuple[int, int]) -> dict[str, Any]:
    """``task`` shares all that it can with one of ``parents``, of its own kind where there is one."""
    ordered = sorted(parents, key=lambda parent: parent.name)
    parent = next((parent for parent in ordered if parent.dense == task.dense), ordered[0])
    most = sum(counts) if task.dense and parent.dense else counts[0]
    named = {f"{task.name}_from": parent.name} if len(ordered) > 1 else {}
    return named | {_parting(task.name, most): most}


def _parting(task: str, most: int) -> str:
    return f"{task}_of{most}"


def suggest_learning_rate(trial: Trial, base: Config) -> Config:
    """``base`` with another learning rate. Parameter: ``learning_rate``."""
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    return replace(base, optimizer=replace(base.optimizer, learning_rate=rate))
