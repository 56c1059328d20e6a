"""A measured tree as prior of a search: some of its first trials have that tree, whatever else they draw.

Partial points of Optuna do it: the values of the tree are fixed, all others are sampled. The sampler learns from these
trials as from any others, so that the prior weighs as much as the trials that it takes, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from branchpoint.affinity.relations import proposed_tree
from branchpoint.config import Config
from branchpoint.networks import stage_counts
from branchpoint.search.space.parts import together
from branchpoint.store import Store
from branchpoint.topology import Topology

MOST_STAGES = 16
SHARE = 6
"""One of so many trials has the proposed tree."""


def measured_prior(
    store: Store, study: str, base: Config, points: Sequence[Mapping[str, Any]], trials: int
) -> tuple[dict[str, Any], ...]:
    """:func:`prior_points` of the newest tree that affinities proposed for ``study``; none where nobody measured.

    Args:
        base: of the study.
        points: its starting points; the first learns all tasks together.

    Raises:
        ValueError: the affinities are those of other tasks.
    """
    found = proposed_tree(store, study)
    if found is None or len(base.tasks) < 2:
        return ()
    measured, topology = found
    names, own = (", ".join(sorted(task.name for task in config.tasks)) for config in (measured, base))
    if names != own:
        raise ValueError(
            f"study {study!r}: its affinities in {store.uri} are those of {names}, but it learns {own}; "
            "measure them again, or file them under another name (--study)"
        )
    return prior_points(measured, topology, points[0], trials)


def prior_points(
    config: Config, topology: Topology, first: Mapping[str, Any], trials: int
) -> tuple[dict[str, Any], ...]:
    """Parameter values, some left open, of the first trials after a study's starting points.

    The first is ``first`` with the tree and without links; the others, one for each :data:`SHARE` trials, have the
    tree alone.

    Args:
        config: that the tree was proposed for.
        topology: the tree.
        first: the study's first starting point, which learns all tasks together.
        trials: of the study.

    Raises:
        ValueError: the tree is of other tasks.
    """
    names = tuple(sorted(task.name for task in config.tasks))
    if topology.tasks != names:
        raise ValueError(f"the proposed tree is of {', '.join(topology.tasks)}; the study has {', '.join(names)}")
    tree = tree_values(config, topology)
    links = {f"mask_as_input_{name}": False for name in names} | {f"cascade_{name}": "none" for name in names}
    whole = {**first, **tree, **links, "exchange": "none"}
    return (whole, *[tree] * max(0, trials // SHARE - 1))


def tree_values(config: Config, topology: Topology) -> dict[str, Any]:
    """What :func:`branchpoint.search.space.parts.suggest_topology` has to be told to grow ``topology``.

    The parameters of networks with other numbers of stages get the same share of them; a study asks for those that it
    needs.
    """
    encoder, decoder = stage_counts(config)
    main = sorted(task.name for task in config.tasks if not task.auxiliary)
    dense = {task.name for task in config.tasks if task.dense}
    values: dict[str, Any] = {"learn": together(config.tasks)} if len(main) > 1 else {}
    for name in (*main, *sorted(task.name for task in config.tasks if task.auxiliary)):
        parents = main[: main.index(name)] if name in main else main
        if not parents:
            continue
        parent = max(parents, key=lambda other: topology.branching_point(name, other))
        shared = topology.branching_point(name, parent)
        stages = encoder + decoder if {name, parent} <= dense else encoder
        if len(parents) > 1:
            values[f"{name}_from"] = parent
        values |= {f"{name}_of{most}": round(shared * most / stages) for most in range(1, MOST_STAGES + 1)}
        values[f"{name}_of{stages}"] = shared
        values |= {} if name in main else {f"with_{name}": True}
    return values
