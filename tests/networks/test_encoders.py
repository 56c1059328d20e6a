"""Every registered encoder: sizes, gradients, published numbers of parameters."""

import pytest
import torch

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.networks import build, estimate, stage_counts
from branchpoint.networks.encoders import ENCODERS, architecture
from branchpoint.topology import Cascade, Exchange, Topology

TASKS = (
    SegmentationConfig(name="lesion", target="lesion", foreground_classes=2),
    ClassificationConfig(name="type", target="type", classes=3),
)
DEPTHS = {"u2net": 6, "u2net_small": 6}
SIZES = {2: (41, 38), 3: (17, 18, 19)}
OURS = [
    "radiomics_unet",
    "senorm_unet",
    "unet",
    "transformer_unet",
    "resformer_sequential",
    "resformer_parallel",
    "u2net",
    "u2net_small",
]


def config(encoder, size, **changes):
    settings = {
        "encoder": encoder,
        "in_channels": 1,
        "width": 4,
        "depth": DEPTHS.get(encoder, 3),
        "window": 4,
        "hidden_features": 4,
        "dropout": 0.0,
        **changes,
    }
    return Config(dataset=DatasetConfig(size_voxels=size), tasks=TASKS, network=NetworkConfig(**settings))


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_encoder_of_ours_is_tested():
    assert set(OURS) <= set(ENCODERS)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("encoder", OURS)
def test_odd_sizes_give_maps_of_the_image_and_every_parameter_learns(encoder, dimensions):
    size = SIZES[dimensions]
    network = build(config(encoder, size))
    logits = network({"image": torch.randn(2, 1, *size)})
    assert logits["lesion"].shape == (2, 3, *size)
    assert logits["type"].shape == (2, 3)
    sum(value.square().sum() for value in logits.values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("encoder", OURS)
def test_attributes_are_those_of_the_modules(encoder):
    """The assembly trusts them when it sizes heads, exchanges and cascades."""
    settings = config(encoder, (32, 32))
    family = architecture(settings.network, 2)
    x, levels = torch.randn(2, 1, 32, 32), []
    for level, channels in enumerate(family.channels):
        x = family.encoder_stage(level, 0)(x)
        assert x.shape[1] == channels
        levels.append(x)
    path = levels[-1:]
    for step, channels in enumerate(family.decoder_channels):
        path.append(family.decoder_stage(step, 0)(path[-1], levels[family.skips[step]], path[:]))
        assert path[-1].shape[1] == channels
    assert family.dense_head(5, 0)(path[-1], path, (32, 32)).shape == (2, 5, 32, 32)
    assert stage_counts(settings) == (len(family.channels), len(family.decoder_channels))


@pytest.mark.parametrize("encoder", OURS)
def test_links_enter_every_stage(encoder):
    plain = config(encoder, (32, 32))
    encoders, decoders = stage_counts(plain)
    separate = Topology.separate(["lesion", "type"], ["lesion", "type"], encoders, decoders)
    links = tuple(
        Cascade(source="type", target="lesion", carries="logits", stage=stage)
        for stage in (*range(encoders + decoders), None)
    )
    mixing = tuple(
        Exchange(stage=stage, source="type", target="lesion", unit="cross_stitch", both_ways=False)
        for stage in range(encoders + decoders)
    )
    topology = Topology(separate.encoder, separate.decoder, links, mixing)
    network = build(config(encoder, (32, 32), topology=topology))
    logits = network({"image": torch.randn(2, 1, 32, 32)})
    logits["lesion"].sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("encoder", "classes", "count"),
    [
        ("u2net", 1, 44_009_869),
        ("u2net_small", 1, 1_131_181),
        ("u2net", 17, 44_246_934),
    ],
)
def test_u2net_has_the_published_number_of_parameters(encoder, classes, count):
    tasks = (SegmentationConfig(name="mask", target="mask", foreground_classes=classes),)
    network = NetworkConfig(encoder=encoder, in_channels=3, width=64, depth=6)
    settings = Config(dataset=DatasetConfig(size_voxels=(64, 64)), tasks=tasks, network=network)
    assert estimate(settings).parameters == count


@pytest.mark.parametrize("encoder", ["resformer_sequential", "resformer_parallel"])
def test_resformer_has_the_size_that_the_paper_implies(encoder):
    network = NetworkConfig(encoder=encoder, in_channels=3, width=64, depth=4, taps=(2, 3), window=7)
    settings = Config(dataset=DatasetConfig(size_voxels=(224, 224)), tasks=TASKS, network=network)
    assert estimate(settings).parameters == pytest.approx(29.2e6, rel=0.02)
    with_skips = estimate(settings).parameters
    without = estimate(config(encoder, (224, 224), in_channels=3, width=64, depth=4, dilated_skips=False)).parameters
    assert with_skips - without == pytest.approx(10.5e6, rel=0.02)


def test_unknown_encoders_and_depths_are_refused():
    with pytest.raises(ValueError, match=r"network.encoder is 'vgg': choose one of 'radiomics_unet'"):
        build(config("vgg", (8, 8)))
    with pytest.raises(ValueError, match=r"network.depth is 5: U2-Net has 6 levels"):
        build(config("u2net", (8, 8), depth=5))
