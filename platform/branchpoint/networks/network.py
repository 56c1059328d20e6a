"""``Network``: any encoder under any topology for any set of tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from branchpoint.config import Config
from branchpoint.networks.assembly import Assembly
from branchpoint.networks.blocks import global_average
from branchpoint.networks.cascades import (
    as_map,
    as_numbers,
    measure_mask,
    measurement_features,
    membership,
    pool_inside,
    probabilities,
)
from branchpoint.networks.clinical import ClinicalValues
from branchpoint.networks.cuts import TrunkCuts
from branchpoint.networks.plan import IMAGE, Received, Step, idle_steps, plan
from branchpoint.networks.resolve import taps_of, topology_of
from branchpoint.topology import Topology
from branchpoint.topology.dataflow import Node, ancestors, order


class Network(nn.Module):
    """The network that a Config describes.

    Each group of each stage is one module, computed once for all the tasks that share it.

    Attributes:
        topology: what was built.
        encoder: modules of the encoder stages, ``encoder[stage][group]``.
        decoder: modules of the decoder stages, likewise.
        exchanges: modules of the exchanges, by ``<stage>_<group>``.
        heads: modules of the heads, by :func:`head_key` of the task.
        clinical: what makes numbers of clinical values; ``None``: no head sees any.
        cuts: where gradients stop between trunks and the tasks' own parts; ``None``: nowhere.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.topology: Topology = topology_of(config)
        self.measured_channel = config.network.measured_channel
        self.regressing = frozenset(task for task, _ in config.network.regression_units)
        self.dense = {task.name: task.dense for task in config.tasks}
        self.clinical = ClinicalValues(len(config.network.clinical)) if config.network.clinical else None
        # Who sees clinical values beside the image, and who sees nothing else.
        told = {task.name for task in config.tasks if task.sees_clinical}
        told = told - self.regressing if self.clinical else set()
        self.told, self.blind = frozenset(told), frozenset(told if config.network.head_inputs == "clinical" else ())
        assembly = Assembly(config, self.topology)
        self.plan = plan(self.topology, assembly.family.skips, taps_of(config))
        self.idle = idle_steps(self.plan, self.blind)
        self.cuts: TrunkCuts | None = None
        self.encoder = nn.ModuleList(nn.ModuleList() for _ in self.topology.encoder)
        self.decoder = nn.ModuleList(nn.ModuleList() for _ in self.topology.decoder)
        self.exchanges, self.heads = nn.ModuleDict(), nn.ModuleDict()
        for step in sorted(self.plan, key=lambda step: (step.part, step.stage, step.group, step.task)):
            module = assembly.module(step)
            if step.part == "head":
                self.heads[head_key(step.task)] = module
            elif step.part == "exchange":
                self.exchanges[f"{step.stage}_{step.group}"] = module
            else:
                stages = self.encoder if step.part == "encoder" else self.decoder
                stages[step.stage].append(module)  # type: ignore[operator]

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits of each task.

        Args:
            inputs: ``Batch.inputs``; ``image`` (B, C, [D,] H, W) of any size, ``clinical`` (B, F) where heads see
                clinical values, the rest only for measurements.

        Returns:
            (B, outputs, [D,] H, W) at the image's size for dense tasks, (B, outputs) for others; (B, levels, outputs)
            where regression units predict from every level.
        """
        results: list[Tensor] = []
        logits = {}
        released = inputs["image"].new_empty(0)
        for number, step in enumerate(self.plan):
            seen = results if self.cuts is None else self.cuts.seen_from(number, results)
            results.append(released if number in self.idle else self._run(step, inputs, seen))
            if step.part == "head":
                logits[step.task] = results[-1]
            for position in step.last_uses:
                results[position] = released
        return {task: logits[task] for task in self.topology.tasks}

    def tasks_of_parameters(self, gradients: bool = False) -> dict[str, frozenset[str]]:
        """The tasks whose outputs depend on each parameter, by the parameter's name in ``named_parameters``.

        Sharing, cascades and exchanges all count.

        Args:
            gradients: leave out what a task reads by cascades without gradient alone.
        """
        found = {}
        for step, tasks in zip(self.plan, self._tasks_of_steps(gradients), strict=True):
            prefix = prefix_of(step)
            for name, _ in self.get_submodule(prefix).named_parameters(prefix):
                found[name] = tasks
        return found

    def cut_trunks(self, tasks: Collection[str]) -> TrunkCuts:
        """From now on stop gradients where the own part of one of ``tasks`` reads what it shares with others.

        Raises:
            ValueError: the topology parts more than once.
        """
        self.cuts = TrunkCuts([served & frozenset(tasks) for served in self._tasks_of_steps(gradients=True)])
        return self.cuts

    def _tasks_of_steps(self, gradients: bool) -> list[frozenset[str]]:
        topology = self.topology
        if gradients:
            topology = replace(topology, cascades=tuple(cascade for cascade in topology.cascades if cascade.gradient))
        tasks_of_node: dict[Node, set[str]] = {}
        for task in topology.tasks:
            for node in ancestors(topology, task):
                tasks_of_node.setdefault(node, set()).add(task)
        return [frozenset(tasks_of_node[node]) for node in order(self.topology)]

    def _run(self, step: Step, inputs: Mapping[str, Tensor], results: Sequence[Tensor]) -> Tensor:
        image = inputs["image"]
        below = image if step.below == IMAGE else results[step.below]
        if step.part == "exchange":
            return self.exchanges[f"{step.stage}_{step.group}"](below, [results[i] for i in step.mixed])
        if step.task in self.regressing and step.part == "head":
            return self.heads[head_key(step.task)]([results[i] for i in step.path or (step.below,)])
        if step.part == "head" and not self.dense[step.task]:
            return self.heads[head_key(step.task)](*self._image_head_inputs(step, inputs, results))
        size = below.shape[2:]
        extra = [results[i] for i in step.joined]
        extra += [as_map(_carried(link, results), size).to(below.dtype) for link in step.received]
        if extra:
            below = torch.cat((below, *extra), dim=1)
        if step.part == "encoder":
            return self.encoder[step.stage][step.group](below)  # type: ignore[index]
        path = [results[i] for i in step.path]
        if step.part == "head":
            return self.heads[head_key(step.task)](below, path, image.shape[2:])
        skip = image if step.skip == IMAGE else results[step.skip]
        return self.decoder[step.stage][step.group](below, skip, path)  # type: ignore[index]

    def _image_head_inputs(
        self, step: Step, inputs: Mapping[str, Tensor], results: Sequence[Tensor]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Averages (B, features) and numbers (B, numbers), or None where there are none."""
        clinical = self.clinical(inputs["clinical"]) if self.clinical and step.task in self.told else None
        if step.task in self.blind:
            return None, clinical
        tapped = [results[i] for i in step.taps]
        averages = [global_average(values) for values in (*tapped, *(results[i] for i in step.joined))]
        numbers = [] if clinical is None else [clinical]
        for link in step.received:
            values = _carried(link, results)
            if link.carries == "features":
                averages.append(global_average(values))
            elif link.carries == "masked_features":
                averages += pool_inside(tapped, membership(values))
            elif link.carries == "measurements":
                measured = measure_mask(membership(values), inputs, self.measured_channel)
                numbers.append(measurement_features(measured))
            else:
                numbers.append(as_numbers(values))
        joined = torch.cat(averages, dim=1)
        return joined, torch.cat(numbers, dim=1).to(joined.dtype) if numbers else None


_TAKEN = frozenset(dir(nn.ModuleDict()))
"""Names that a module has for itself."""


def head_key(task: str) -> str:
    """Name of ``task``'s head in ``Network.heads``: its own, unless a module cannot bear it."""
    key = task.replace(".", "·")
    return f"{key}_" if key.rstrip("_") in _TAKEN else key


def prefix_of(step: Step) -> str:
    """Name of the module that computes ``step``, which all its parameters' names begin with."""
    if step.part == "head":
        return f"heads.{head_key(step.task)}"
    return (
        f"exchanges.{step.stage}_{step.group}" if step.part == "exchange" else f"{step.part}.{step.stage}.{step.group}"
    )


def _carried(link: Received, results: Sequence[Tensor]) -> Tensor:
    values = results[link.position] if link.gradient else results[link.position].detach()
    return probabilities(values) if link.carries == "probabilities" else values


def build(config: Config) -> Network:
    """The network of ``config``, its weights drawn from ``config.seed``.

    Raises:
        ValueError: the topology does not fit tasks or encoder; the message names the field.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Network(config)
