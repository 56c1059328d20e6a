"""``Network``: any encoder under any topology for any set of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from branchpoint.config import Config
from branchpoint.networks.blocks import global_average
from branchpoint.networks.encoders import architecture
from branchpoint.networks.heads import ImageHead
from branchpoint.networks.resolve import topology_of
from branchpoint.tasks import build_task
from branchpoint.topology import Topology
from branchpoint.topology.partitions import Partition


class Network(nn.Module):
    """The network that a Config describes.

    Each group of each stage is one module, computed once for all the tasks that share it.

    Attributes:
        topology: the sharing tree that was built.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        settings = config.network
        family = architecture(settings, len(config.dataset.size_voxels))
        self.topology: Topology = topology_of(config)
        self.skips = family.skips
        self.taps = settings.taps or tuple(range(len(family.channels)))
        self.encoder = nn.ModuleList(
            nn.ModuleList(family.encoder_stage(level, 0) for _ in partition)
            for level, partition in enumerate(self.topology.encoder)
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList(family.decoder_stage(step, 0) for _ in partition)
            for step, partition in enumerate(self.topology.decoder)
        )
        self.heads = nn.ModuleDict()
        self.dense = {task.name: task.dense for task in config.tasks}
        for name in self.topology.tasks:
            outputs = build_task(config.task(name)).outputs
            if self.dense[name]:
                self.heads[name] = family.dense_head(outputs, 0)
                continue
            decoded = name in self.topology.decoder_tasks
            features = family.decoder_channels[-1] if decoded else sum(family.channels[tap] for tap in self.taps)
            self.heads[name] = ImageHead(features, settings.hidden_features, outputs, settings.dropout)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits of each task.

        Args:
            inputs: ``Batch.inputs``; ``image`` (B, C, [D,] H, W) of any size.

        Returns:
            (B, outputs, [D,] H, W) at the image's size for dense tasks, (B, outputs) for others.
        """
        image = inputs["image"]
        levels: list[list[Tensor]] = []
        for level, stage in enumerate(self.encoder):
            levels.append(
                [module(self._below(level, i, image, levels)) for i, module in enumerate(cast(nn.ModuleList, stage))]
            )
        steps: list[list[Tensor]] = []
        for step, stage in enumerate(self.decoder):
            steps.append(
                [
                    module(*self._decoder_input(step, i, image, levels, steps))
                    for i, module in enumerate(cast(nn.ModuleList, stage))
                ]
            )
        return {task: self._head(task, levels, steps) for task in self.heads}

    def _below(self, level: int, group: int, image: Tensor, levels: list[list[Tensor]]) -> Tensor:
        if level == 0:
            return image
        task = self.topology.encoder[level][group][0]
        return levels[-1][_position(self.topology.encoder[level - 1], task)]

    def _decoder_input(
        self, step: int, group: int, image: Tensor, levels: list[list[Tensor]], steps: list[list[Tensor]]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        task = self.topology.decoder[step][group][0]
        path = self._path(task, levels, steps)
        skip = self.skips[step]
        return path[-1], image if skip < 0 else levels[skip][_position(self.topology.encoder[skip], task)], path

    def _path(self, task: str, levels: list[list[Tensor]], steps: list[list[Tensor]]) -> list[Tensor]:
        decoded = [features[_position(self.topology.decoder[i], task)] for i, features in enumerate(steps)]
        return [levels[-1][_position(self.topology.encoder[-1], task)], *decoded]

    def _head(self, task: str, levels: list[list[Tensor]], steps: list[list[Tensor]]) -> Tensor:
        head = self.heads[task]
        if task in self.topology.decoder_tasks:
            path = self._path(task, levels, steps)
            return head(path[-1], path) if self.dense[task] else head(global_average(path[-1]))
        tapped = (levels[tap][_position(self.topology.encoder[tap], task)] for tap in self.taps)
        return head(torch.cat([global_average(features) for features in tapped], dim=1))


def _position(partition: Partition, task: str) -> int:
    return next(i for i, group in enumerate(partition) if task in group)


def build(config: Config) -> Network:
    """The network of ``config``, its weights drawn from ``config.seed``.

    Raises:
        ValueError: the topology does not fit tasks or encoder; the message names the field.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Network(config)
