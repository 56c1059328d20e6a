"""Comparator families of paper 001."""

import pytest
import torch

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.networks import build, topology_of
from branchpoint.networks.comparators import COMPARATORS

BASE = Config(
    dataset=DatasetConfig(size_voxels=(24, 24)),
    tasks=(
        SegmentationConfig(name="lesion", target="lesion"),
        ClassificationConfig(name="grade", target="grade", classes=3),
    ),
    network=NetworkConfig(encoder="unet", in_channels=1, width=4, depth=3, hidden_features=4),
)


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("classification_from_bottleneck", 16),
        ("classification_from_decoder", 4),
        ("transformer_after_encoder", 16),
    ],
)
def test_each_family_predicts_from_where_its_name_says(name, features):
    config = COMPARATORS[name](BASE)
    network = build(config)
    assert topology_of(config).family == "parallel"
    assert network.heads["grade"].hidden.in_features == features
    logits = network({"image": torch.randn(2, 1, 24, 24)})
    sum(value.sum() for value in logits.values()).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None] == []
    assert any("Transformer" in type(module).__name__ for module in network.modules()) == (name[:5] == "trans")
