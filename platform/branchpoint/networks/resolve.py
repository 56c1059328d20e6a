"""What a Config leaves open about its network: topology and number of stages."""

from __future__ import annotations

from branchpoint.config import Config
from branchpoint.networks.encoders import architecture
from branchpoint.topology import Cascade, Topology
from branchpoint.topology.canonical import NUMBERS


def stage_counts(config: Config) -> tuple[int, int]:
    """Number of encoder and of decoder stages of ``config``'s encoder family."""
    family = architecture(config.network, len(config.dataset.size_voxels))
    return len(family.channels), len(family.decoder_channels)


def topology_of(config: Config) -> Topology:
    """The topology of ``config``; where it names none, all tasks share every stage.

    Raises:
        ValueError: the topology's tasks or stages are not those of the Config, or a task needs a decoder that the
            encoder family does not have.
    """
    encoder, decoder = stage_counts(config)
    dense = [task.name for task in config.tasks if task.dense]
    if dense and not decoder:
        raise ValueError(
            f"network.depth is {config.network.depth}: {config.network.encoder!r} has no decoder then, which task "
            f"{dense[0]!r} needs for its map; choose at least 2"
        )
    names = sorted(task.name for task in config.tasks)
    image_level = [task.name for task in config.tasks if not task.dense]
    for task, _ in config.network.regression_units:
        if task not in image_level:
            raise ValueError(
                f"network.regression_units: {task!r} is none of the image-level tasks {', '.join(image_level)}"
            )
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
    for cascade in topology.cascades:
        _check_cascade(config, cascade)
    return topology


def name_of(config: Config) -> str:
    """A network in a few words: encoder, width and the family of its topology.

    Example:
        >>> from branchpoint.config import Config, DatasetConfig, NetworkConfig, SegmentationConfig
        >>> cohort = DatasetConfig(root="/cohort", size_voxels=(16, 16, 16), spacing_mm=6.0)
        >>> tumour = SegmentationConfig(name="tumour", target="tumour")
        >>> name_of(Config(dataset=cohort, tasks=(tumour,), network=NetworkConfig(width=8, depth=3)))
        'radiomics_unet of width 8, single'
    """
    return f"{config.network.encoder} of width {config.network.width}, {topology_of(config).family}"


def taps_of(config: Config) -> tuple[int, ...]:
    """Encoder levels whose global averages feed image-level heads; all where the Config names none."""
    return config.network.taps or tuple(range(stage_counts(config)[0]))


def _check_cascade(config: Config, cascade: Cascade) -> None:
    source, target = config.task(cascade.source), config.task(cascade.target)
    where = f"network.topology: cascade of {cascade.carries} from {source.name!r} to {target.name!r}"
    if cascade.carries in NUMBERS:
        if not source.predicts_mask:
            raise ValueError(f"{where}: {source.name!r} predicts no mask; choose a segmentation task")
        if target.dense:
            raise ValueError(f"{where}: {target.name!r} gives a map; these are numbers, for an image-level task")
    if cascade.carries == "probabilities" and not source.predicts_probabilities:
        raise ValueError(f"{where}: {source.name!r} has no probabilities; pass on its logits")
    channel, channels = config.network.measured_channel, config.network.in_channels
    if cascade.carries == "measurements" and channel >= channels:
        raise ValueError(
            f"{where}: network.measured_channel is {channel}, but the image has {channels} channels, from 0"
        )
