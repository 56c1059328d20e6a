"""The layout is the one that was measured to be faster, and results do not depend on it."""

from dataclasses import replace

import pytest
import torch

from branchpoint import networks
from branchpoint.config import Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.training.devices.layout import memory_format

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_layouts() -> None:
    narrow, wide = NetworkConfig(width=8), NetworkConfig(width=16)
    batchnorm = NetworkConfig(width=16, unit="batchnorm")
    assert memory_format(narrow, 3, CPU) == torch.channels_last_3d
    assert memory_format(batchnorm, 3, CPU) == torch.channels_last_3d
    assert memory_format(batchnorm, 2, CPU) == torch.channels_last
    unet, resformer = NetworkConfig(encoder="unet", width=8), NetworkConfig(encoder="resformer_parallel", width=64)
    assert memory_format(unet, 3, CPU) == torch.channels_last_3d
    assert memory_format(resformer, 2, CPU) == torch.channels_last
    assert memory_format(resformer, 3, CPU) == torch.contiguous_format
    for network, dimensions, device in ((narrow, 3, GPU), (wide, 3, CPU), (narrow, 2, CPU)):
        assert memory_format(network, dimensions, device) == torch.contiguous_format


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("unit", ["senorm", "batchnorm", "instancenorm"])
@pytest.mark.parametrize("encoder", ["radiomics_unet", "senorm_unet", "unet"])
def test_same_logits_and_gradient_in_both_layouts(config: Config, encoder: str, unit: str, count: int) -> None:
    """In training mode, also for one sample: torch's norms have had faults where memory formats mix."""
    config = replace(config, network=replace(config.network, encoder=encoder, unit=unit, dropout=0.0))
    image = torch.randn(count, 2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        network = networks.build(config).to(memory_format=layout)
        logits = network({"image": image.contiguous(memory_format=layout)})
        sum(values.square().sum() for values in logits.values()).backward()
        gradient = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        found.append({**logits, **gradient})
    first, second = found
    for name, expected in first.items():
        # Relative to the tensor, not to each element: rounding through batch norms of few voxels reaches 1e-3 of some.
        assert (second[name] - expected).norm() <= 1e-3 * expected.norm() + 1e-4, name


@pytest.mark.parametrize("encoder", ["u2net_small", "resformer_sequential", "resformer_parallel"])
def test_same_logits_in_both_layouts_in_2d(encoder: str) -> None:
    """In evaluation mode, so that rounding meets no batch statistics."""
    depth = 6 if encoder == "u2net_small" else 3
    settings = NetworkConfig(encoder=encoder, in_channels=3, width=16, depth=depth, dropout=0.0)
    dataset = DatasetConfig(name="ph2", size_voxels=(32, 32))
    task = SegmentationConfig(name="mask", target="mask")
    network = networks.build(Config(dataset=dataset, tasks=(task,), network=settings)).eval()
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = network({"image": image})["mask"]
    layout = torch.channels_last
    found = network.to(memory_format=layout)({"image": image.contiguous(memory_format=layout)})["mask"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
