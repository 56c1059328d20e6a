"""The layout is the one that was measured to be faster, and results do not depend on it."""

from dataclasses import replace

import pytest
import torch

from branchpoint import networks
from branchpoint.config import Config, NetworkConfig
from branchpoint.training.layout import memory_format

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_layouts() -> None:
    narrow, wide = NetworkConfig(width=8), NetworkConfig(width=16)
    batchnorm = NetworkConfig(width=16, unit="batchnorm")
    assert memory_format(narrow, 3, CPU) == torch.channels_last_3d
    assert memory_format(batchnorm, 3, CPU) == torch.channels_last_3d
    assert memory_format(batchnorm, 2, CPU) == torch.channels_last
    for network, dimensions, device in ((narrow, 3, GPU), (wide, 3, CPU), (narrow, 2, CPU)):
        assert memory_format(network, dimensions, device) == torch.contiguous_format


@pytest.mark.parametrize("unit", ["senorm", "batchnorm", "instancenorm"])
def test_same_logits_and_gradient_in_both_layouts(config: Config, unit: str) -> None:
    config = replace(config, network=replace(config.network, unit=unit))
    image = torch.randn(2, 2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        network = networks.build(config).to(memory_format=layout)
        network.eval()
        logits = network({"image": image.contiguous(memory_format=layout)})
        sum(values.square().sum() for values in logits.values()).backward()
        found.append((logits, {name: p.grad for name, p in network.named_parameters() if p.grad is not None}))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
