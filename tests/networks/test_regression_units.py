"""Regression units of paper 002."""

from dataclasses import replace

import pytest
import torch

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.networks import build
from branchpoint.networks.regression_units import RegressionHead
from branchpoint.topology import Cascade, Topology

U2NET_CHANNELS = (512, 512, 256, 128, 64, 64)  # deepest level, then the decoder stages
TASKS = (
    SegmentationConfig(name="mask", target="mask"),
    ClassificationConfig(name="hog", target="hog", classes=36),
)


def test_six_released_units_have_the_measured_number_of_parameters():
    with torch.device("meta"):
        head = RegressionHead(2, U2NET_CHANNELS, 256, 504, "released")
    assert round(sum(p.numel() for p in head.parameters()) / 1e6, 1) == 55.1


def test_pooling_leaves_the_grid_at_the_published_size():
    with torch.device("meta"):
        head = RegressionHead(2, U2NET_CHANNELS, 256, 504, "released")
        for side, channels, unit in zip((8, 16, 32, 64, 128, 256), U2NET_CHANNELS, head.units, strict=True):
            assert unit[:-3](torch.empty(1, channels, side, side)).shape == (1, 256, 8, 8)
            assert unit[-1].in_features == 16384
        bottleneck = RegressionHead(2, (1024,), 256, 504, "released").units[0]
        assert bottleneck[:-3](torch.empty(1, 1024, 16, 16)).shape == (1, 256, 4, 4)


@pytest.mark.parametrize("unit", ["light", "released"])
@pytest.mark.parametrize(("encoder", "depth", "decoded"), [("unet", 3, False), ("unet", 3, True), ("u2net", 6, True)])
@pytest.mark.parametrize("size", [(32, 32), (41, 38)])
def test_units_sit_on_bottleneck_or_on_every_decoder_level(unit, encoder, depth, decoded, size):
    through = ["mask", "hog"] if decoded else ["mask"]
    network = NetworkConfig(
        encoder=encoder,
        depth=depth,
        width=4,
        in_channels=1,
        regression_units=(("hog", unit),),
        topology=Topology.shared(["mask", "hog"], through, depth, depth - 1),
    )
    built = build(Config(dataset=DatasetConfig(size_voxels=size), tasks=TASKS, network=network))
    logits = built({"image": torch.randn(2, 1, *size)})
    assert logits["hog"].shape == ((2, depth, 36) if decoded else (2, 36))
    sum(value.square().sum() for value in logits.values()).backward()
    assert [name for name, p in built.named_parameters() if p.grad is None] == []


def test_only_image_level_tasks_have_units():
    network = NetworkConfig(depth=3, width=2, regression_units=(("mask", "light"),))
    with pytest.raises(ValueError, match=r"network.regression_units: 'mask' is none of the image-level tasks hog"):
        build(Config(dataset=DatasetConfig(size_voxels=(16, 16)), tasks=TASKS, network=network))


def test_units_take_no_cascade_at_their_head():
    topology = Topology.shared(["mask", "hog"], ["mask"], 3, 2)
    link = Cascade(source="mask", target="hog", carries="logits")
    network = NetworkConfig(
        depth=3, width=2, regression_units=(("hog", "light"),), topology=replace(topology, cascades=(link,))
    )
    with pytest.raises(ValueError, match="which regression units do not take"):
        build(Config(dataset=DatasetConfig(size_voxels=(16, 16)), tasks=TASKS, network=network))
