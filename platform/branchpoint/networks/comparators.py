"""The families of multi-task networks that Bui et al. 2024 compare with (fig. 1), on a common encoder.

Each takes a Config with dense and image-level tasks and gives it another network; all else stays.
"""

from __future__ import annotations

from dataclasses import replace

from branchpoint.config import Config
from branchpoint.networks.resolve import stage_counts
from branchpoint.topology import Topology


def classification_from_bottleneck(config: Config) -> Config:
    """Image-level tasks from the deepest encoder level alone; all stages shared (Bui et al. 2024, fig. 1 a)."""
    deepest = stage_counts(config)[0] - 1
    return replace(config, network=replace(config.network, topology=None, taps=(deepest,)))


def classification_from_decoder(config: Config) -> Config:
    """Image-level tasks from the last decoder features; all stages shared (Bui et al. 2024, fig. 1 b)."""
    tasks = [task.name for task in config.tasks]
    topology = Topology.shared(tasks, tasks, *stage_counts(config))
    return replace(config, network=replace(config.network, topology=topology))


def transformer_after_encoder(config: Config) -> Config:
    """As :func:`classification_from_bottleneck`, on a U-Net whose encoder ends in a transformer (fig. 1 c)."""
    hybrid = replace(config, network=replace(config.network, encoder="transformer_unet", topology=None, taps=()))
    return classification_from_bottleneck(hybrid)


COMPARATORS = {
    "classification_from_bottleneck": classification_from_bottleneck,
    "classification_from_decoder": classification_from_decoder,
    "transformer_after_encoder": transformer_after_encoder,
}
