"""What a network will cost, before it is trained: parameters, multiply-accumulates, memory of its activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from branchpoint.config import Config
from branchpoint.networks.network import Network


@dataclass(frozen=True)
class Cost:
    """Cost of one sample.

    Attributes:
        parameters: learned numbers.
        macs: multiply-accumulates of convolutions, linear layers and attention in one forward pass.
        activation_bytes: peak memory of a training step beside weights, gradients and optimiser state, in float32:
            what the forward pass keeps for the backward pass, and the largest map once more for its gradient.
    """

    parameters: int
    macs: int
    activation_bytes: int


def estimate(config: Config) -> Cost:
    """The cost of ``config``'s network for one sample of ``config.dataset.size_voxels``; nothing is allocated.

    Raises:
        ValueError: the Config describes no network.
    """
    return measure(*_unallocated(config))


def stage_macs(config: Config) -> tuple[int, ...]:
    """Multiply-accumulates of each stage, encoder first, for one image and one group of tasks.

    Raises:
        ValueError: the Config describes no network.
    """
    settings = replace(config.network, topology=None)
    network, inputs = _unallocated(replace(config, network=settings))
    counter = FlopCounterMode(display=False)
    with counter:
        network(inputs)
    flops = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    stages = [f"{part}.{i}" for part in ("encoder", "decoder") for i in range(len(getattr(network, part)))]
    return tuple(flops.get(f"{type(network).__name__}.{stage}.0", 0) // 2 for stage in stages)


def _unallocated(config: Config) -> tuple[Network, dict[str, Tensor]]:
    """The network of ``config`` and inputs of one sample, without memory."""
    with torch.device("meta"):
        network = Network(config)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()  # it refuses a single value per channel, which pooling leaves of one sample
        channels = config.network.in_channels
        inputs = {
            "image": torch.empty(1, channels, *config.dataset.size_voxels),
            "intensity_offset": torch.empty(1, channels),
            "intensity_scale": torch.empty(1, channels),
            "voxel_ml": torch.empty(1),
            "clinical": torch.empty(1, len(config.network.clinical)),
        }
    return network, inputs


def measure(network: nn.Module, inputs: Mapping[str, Tensor]) -> Cost:
    """The cost of one forward pass of ``network`` on ``inputs``, of one sample, on any device."""
    parameters = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    given = {tensor.untyped_storage()._cdata for tensor in inputs.values()}
    kept: dict[int, int] = {}
    largest = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal largest
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters | given:
            kept[storage._cdata] = storage.nbytes()
            largest = max(largest, storage.nbytes())
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(inputs)
    result = Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=counter.get_total_flops() // 2,
        activation_bytes=sum(kept.values()) + largest,
    )
    del logits  # held until here: storage handles of freed tensors could be given out again
    return result
