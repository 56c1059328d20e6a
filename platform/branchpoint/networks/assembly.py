"""Modules of a network's steps, each with the channels that topology and links give it."""

from __future__ import annotations

from torch import nn

from branchpoint.config import Config
from branchpoint.networks.adversarial import AdversarialHead
from branchpoint.networks.cascades import MEASUREMENTS
from branchpoint.networks.encoders import architecture
from branchpoint.networks.exchanges import EXCHANGES
from branchpoint.networks.heads import ImageHead
from branchpoint.networks.plan import Received, Step
from branchpoint.networks.regression_units import RegressionHead, RegressionUnit
from branchpoint.networks.resolve import taps_of
from branchpoint.tasks import build_task
from branchpoint.topology import Topology
from branchpoint.topology.dataflow import mixing_unit


class Assembly:
    """Makes the module of each step of ``topology``.

    Attributes:
        family: the encoder family that offers the stages.
    """

    def __init__(self, config: Config, topology: Topology) -> None:
        self.config, self.topology = config, topology
        self.dimensions = len(config.dataset.size_voxels)
        self.family = architecture(config.network, self.dimensions)
        self.channels = (*self.family.channels, *self.family.decoder_channels)
        self.outputs = {task.name: build_task(task).outputs for task in config.tasks}

    def module(self, step: Step) -> nn.Module:
        """The module that computes ``step``."""
        if step.part == "exchange":
            unit = mixing_unit(self.topology, self.topology.group(step.task, step.stage), step.stage)
            return EXCHANGES[unit](self.dimensions, self.channels[step.stage], len(step.mixed))
        if step.part == "head" and not self.config.task(step.task).dense:
            regressing = dict(self.config.network.regression_units).get(step.task)
            return self._regression_head(step, regressing) if regressing else self._image_head(step)
        extra = self._joined_channels(step) + sum(self._map_channels(link) for link in step.received)
        if step.part == "encoder":
            return self.family.encoder_stage(step.stage, extra)
        if step.part == "decoder":
            return self.family.decoder_stage(step.stage, extra)
        return self.family.dense_head(self.outputs[step.task], extra)

    def _regression_head(self, step: Step, unit: RegressionUnit) -> RegressionHead:
        if step.joined or step.received:
            raise ValueError(
                f"network.regression_units: {step.task!r} receives a cascade or an exchange at its head, which "
                "regression units do not take; let it enter at a stage"
            )
        decoded = step.task in self.topology.decoder_tasks
        channels = (self.family.channels[-1], *(self.family.decoder_channels if decoded else ()))
        width = 4 * self.config.network.width
        return RegressionHead(self.dimensions, channels, width, self.outputs[step.task], unit)

    def _image_head(self, step: Step) -> ImageHead:
        settings, task = self.config.network, self.config.task(step.task)
        clinical = 2 * len(settings.clinical) if task.sees_clinical else 0
        if clinical and settings.head_inputs == "clinical":
            if step.joined or step.received:
                raise ValueError(
                    f"network.head_inputs is 'clinical': {step.task!r} sees nothing of the image, but "
                    "the topology leads a cascade or an exchange to its head; take it out"
                )
            return ImageHead(0, settings.hidden_features, self.outputs[step.task], settings.dropout, clinical)
        if step.task in self.topology.decoder_tasks:
            tapped = self.family.decoder_channels[-1]
        else:
            tapped = sum(self.family.channels[tap] for tap in taps_of(self.config))
        features, numbers = tapped + self._joined_channels(step), clinical
        for link in step.received:
            if link.carries == "features":
                features += self._map_channels(link)
            elif link.carries == "masked_features":
                features += tapped
            elif link.carries == "measurements":
                numbers += len(MEASUREMENTS)
            else:
                dense = self.config.task(link.source).dense
                numbers += self.outputs[link.source] * (2 if dense else 1)
        if task.reversal is not None:
            return AdversarialHead(
                features,
                settings.hidden_features,
                self.outputs[step.task],
                settings.dropout,
                strength=task.reversal.strength,
                ramp=task.reversal.ramp,
            )
        return ImageHead(features, settings.hidden_features, self.outputs[step.task], settings.dropout, numbers)

    def _joined_channels(self, step: Step) -> int:
        if step.part == "head":
            stage = self.topology.depth(step.task)
        else:
            stage = step.stage + (len(self.topology.encoder) if step.part == "decoder" else 0)
        return len(step.joined) * self.channels[stage - 1] if step.joined else 0

    def _map_channels(self, link: Received) -> int:
        if link.carries == "features":
            return self.channels[self.topology.depth(link.source) - 1]
        return self.outputs[link.source]
