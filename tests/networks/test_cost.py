"""Predicted cost against analytic counts and against measurement."""

import pytest
import torch

from benchmarks.memory import LiveBytes
from branchpoint.config import Config, DatasetConfig, NetworkConfig, SegmentationConfig, SurvivalConfig
from branchpoint.networks import build, estimate
from branchpoint.topology import Topology

TASKS = (
    SegmentationConfig(name="tumour", target="tumour"),
    SurvivalConfig(name="survival", target="survival"),
)
WIDTH, DEPTH, SIZE, HIDDEN = 4, 3, 16, 8


def config(depth=DEPTH + DEPTH - 1, tasks=TASKS, **network):
    names = [task.name for task in tasks]
    dense = [task.name for task in tasks if task.dense]
    topology = Topology.branching(names, dense, depth, DEPTH, DEPTH - 1 if dense else 0)
    settings = {"width": WIDTH, "depth": DEPTH, "hidden_features": HIDDEN, "unit": "batchnorm", "topology": topology}
    return Config(
        dataset=DatasetConfig(size_voxels=(SIZE,) * 3), tasks=tasks, network=NetworkConfig(**{**settings, **network})
    )


def encoder_macs(level, inputs=2):
    """Two residual units; the first has a 1x1 projection. Same-size convolutions: voxels * kernel**3 * in * out."""
    before, width = (WIDTH * 2 ** (level - 1) if level else inputs), WIDTH * 2**level
    kernel = 3 if level else 7
    return (SIZE // 2**level) ** 3 * (kernel**3 * before * width + before * width + 27 * width * width)


def decoder_macs():
    """Transposed convolutions cost their input's voxels; the last stage has one side map and a closing convolution."""
    total = 0
    for level in range(DEPTH - 2, -1, -1):
        width, voxels = WIDTH * 2**level, (SIZE // 2**level) ** 3
        total += voxels // 8 * 27 * (2 * width) * width + voxels * 27 * (2 * width) * width
    return total + SIZE**3 * 27 * WIDTH * WIDTH + (SIZE // 2) ** 3 * 2 * WIDTH * WIDTH


def survival_head_macs():
    return WIDTH * (1 + 2 + 4) * HIDDEN + HIDDEN


@pytest.mark.parametrize("depth", range(DEPTH + DEPTH))
def test_macs_are_what_the_sharing_implies(depth):
    shared = sum(encoder_macs(level) for level in range(min(depth, DEPTH)))
    apart = sum(2 * encoder_macs(level) for level in range(depth, DEPTH))
    heads = decoder_macs() + SIZE**3 * WIDTH + survival_head_macs()
    assert estimate(config(depth)).macs == shared + apart + heads


def test_parameters_are_those_of_the_built_network():
    assert estimate(config(1)).parameters == sum(p.numel() for p in build(config(1)).parameters())


@pytest.mark.parametrize("unit", ["senorm", "batchnorm", "instancenorm"])
@pytest.mark.parametrize("depth", [0, 2, 5])
def test_activation_memory_is_near_the_measured_peak(unit, depth):
    settings = config(depth, unit=unit)
    network = build(settings)
    image = torch.randn(1, 2, SIZE, SIZE, SIZE)
    with LiveBytes() as measured:
        sum(logits.sum() for logits in network({"image": image}).values()).backward()
    gradients = sum(4 * parameter.numel() for parameter in network.parameters())
    predicted = estimate(settings).activation_bytes
    assert measured.peak - gradients <= predicted <= 1.25 * measured.peak
