"""What a Config leaves open about its network: topology and number of stages."""

from __future__ import annotations

from branchpoint.config import Config
from branchpoint.networks.encoders import architecture
from branchpoint.topology import Topology


def stage_counts(config: Config) -> tuple[int, int]:
    """Number of encoder and of decoder stages of ``config``'s encoder family."""
    family = architecture(config.network, len(config.dataset.size_voxels))
    return len(family.channels), len(family.decoder_channels)


def topology_of(config: Config) -> Topology:
    """The topology of ``config``; where it names none, all tasks share every stage.

    Raises:
        ValueError: the topology's tasks or stages are not those of the Config.
    """
    encoder, decoder = stage_counts(config)
    dense = [task.name for task in config.tasks if task.dense]
    names = sorted(task.name for task in config.tasks)
    topology = config.network.topology
    if topology is None:
        return Topology.shared(names, dense, encoder, decoder)
    if list(topology.tasks) != names:
        raise ValueError(
            f"network.topology is for tasks {', '.join(topology.tasks)}; the Config has {', '.join(names)}"
        )
    if len(topology.encoder) != encoder:
        raise ValueError(
            f"network.topology has {len(topology.encoder)} encoder stages; {config.network.encoder!r} of depth "
            f"{config.network.depth} has {encoder}"
        )
    if topology.decoder and len(topology.decoder) != decoder:
        raise ValueError(
            f"network.topology has {len(topology.decoder)} decoder stages; {config.network.encoder!r} of depth "
            f"{config.network.depth} has {decoder}"
        )
    for name in dense:
        if name not in topology.decoder_tasks:
            raise ValueError(f"network.topology: task {name!r} gives a map but passes no decoder stage; add it there")
    return topology
