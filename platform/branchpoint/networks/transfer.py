"""Weights of one topology for another: a child network starts from its parent's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from branchpoint.networks.network import Network, prefix_of
from branchpoint.networks.plan import Step
from branchpoint.topology import Topology
from branchpoint.topology.partitions import Group


def transfer(state: Mapping[str, Tensor], parent: Topology, child: Network) -> tuple[str, ...]:
    """Copies into ``child``, in place, what ``state`` has for its stages and heads.

    A stage takes the weights of the parent's group at that stage with which it has most tasks in common, so that
    several branches can start from one shared stage. A parent that learned other tasks altogether (a pre-training)
    gives each stage that it has only once. Tensors are copied where name and shape agree.

    Args:
        state: ``state_dict`` of a network with topology ``parent``.
        parent: topology of that network.
        child: network to fill.

    Returns:
        The names of the child's tensors that keep their own values, because the parent has none that match.
    """
    own = child.state_dict()
    kept = []
    for step in child.plan:
        target, source = prefix_of(step), _parent_prefix(parent, child.topology, step)
        for name, tensor in own.items():
            if not name.startswith(f"{target}."):
                continue
            found = state.get(source + name.removeprefix(target)) if source else None
            if found is None or found.shape != tensor.shape:
                kept.append(name)
                continue
            with torch.no_grad():
                tensor.copy_(found)
    return tuple(kept)


def _parent_prefix(parent: Topology, child: Topology, step: Step) -> str | None:
    if step.part == "head":
        return prefix_of(step)
    stages = {"encoder": parent.encoder, "decoder": parent.decoder, "exchange": parent.stages}[step.part]
    if step.stage >= len(stages):
        return None
    depth = step.stage + (child.n_encoder if step.part == "decoder" else 0)
    tasks = set(child.group(step.task, depth))

    def common(group: Group) -> int:
        return len(tasks & set(group))

    best = max(stages[step.stage], key=common)
    pretrained = not set(parent.tasks) & set(child.tasks) and step.part != "exchange" and len(stages[step.stage]) == 1
    if not common(best) and not pretrained:
        return None
    return prefix_of(Step(step.part, step.stage, stages[step.stage].index(best), step.task, step.below))
