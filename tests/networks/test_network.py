"""Forward pass, sharing and sizes."""

import pytest
import torch
from branchpoint.config import (
    ClassificationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    SegmentationConfig,
    SurvivalConfig,
)
from branchpoint.networks import build
from branchpoint.topology import Topology

TASKS = (
    SegmentationConfig(name="tumour", target="tumour", foreground_classes=2),
    SurvivalConfig(name="survival", target="survival"),
    ClassificationConfig(name="metastasis", target="metastasis", classes=2),
)
NAMES = tuple(task.name for task in TASKS)


def config(size=(16, 16, 16), **network):
    settings = {"width": 2, "depth": 3, "hidden_features": 4, **network}
    return Config(dataset=DatasetConfig(size_voxels=size), tasks=TASKS, network=NetworkConfig(**settings))


@pytest.mark.parametrize("encoder", ["radiomics_unet", "senorm_unet"])
@pytest.mark.parametrize("unit", ["senorm", "batchnorm", "instancenorm"])
@pytest.mark.parametrize("size", [(16, 16, 16), (13, 9, 11), (13, 18)])
def test_logits_have_the_size_of_the_image(encoder, unit, size):
    network = build(config(size, encoder=encoder, unit=unit))
    logits = network({"image": torch.randn(2, 2, *size)})
    assert {name: tuple(value.shape) for name, value in logits.items()} == {
        "tumour": (2, 3, *size), "survival": (2, 1), "metastasis": (2, 2),
    }  # fmt: skip


@pytest.mark.parametrize("depth", range(6))
def test_every_parameter_gets_a_gradient(depth):
    topology = Topology.branching(NAMES, ["tumour"], depth, 3, 2)
    network = build(config(topology=topology))
    logits = network({"image": torch.randn(2, 2, 16, 16, 16)})
    sum(value.square().sum() for value in logits.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_shared_work_is_computed_once():
    network = build(config(topology=Topology.branching(NAMES, ["tumour"], 2, 3, 2)))
    calls = []
    for level, stage in enumerate(network.encoder):
        for module in stage:
            module.register_forward_hook(lambda *_, level=level: calls.append(level))
    network({"image": torch.randn(1, 2, 16, 16, 16)})
    assert calls == [0, 1, 2, 2, 2]


def test_weights_follow_from_the_seed_alone():
    torch.manual_seed(1)
    first = build(config()).state_dict()
    torch.manual_seed(2)
    second = build(config()).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
