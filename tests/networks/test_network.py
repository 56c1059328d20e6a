"""Forward pass, sharing and sizes."""

from dataclasses import replace

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
from branchpoint.topology import Cascade, Exchange, Topology

TASKS = (
    SegmentationConfig(name="tumour", target="tumour", foreground_classes=2),
    SurvivalConfig(name="survival", target="survival"),
    ClassificationConfig(name="metastasis", target="metastasis", classes=2),
)
NAMES = tuple(task.name for task in TASKS)


def config(size=(8, 8, 8), **network):
    settings = {"width": 2, "depth": 3, "hidden_features": 4, **network}
    return Config(dataset=DatasetConfig(size_voxels=size), tasks=TASKS, network=NetworkConfig(**settings))


@pytest.mark.parametrize("encoder", ["radiomics_unet", "senorm_unet"])
@pytest.mark.parametrize("unit", ["senorm", "batchnorm", "instancenorm"])
@pytest.mark.parametrize("size", [(8, 8, 8), (13, 9, 11), (13, 18)])
def test_logits_have_the_size_of_the_image(encoder, unit, size):
    network = build(config(size, encoder=encoder, unit=unit))
    logits = network({"image": torch.randn(2, 2, *size)})
    assert {name: tuple(value.shape) for name, value in logits.items()} == {
        "tumour": (2, 3, *size),
        "survival": (2, 1),
        "metastasis": (2, 2),
    }


@pytest.mark.parametrize(("kernel", "seen"), [(1, 1), (3, 9)])
@pytest.mark.parametrize("encoder", ["unet", "resnet18"])
def test_a_dense_head_sees_the_neighbours_that_its_kernel_covers(encoder, kernel, seen):
    depth = 5 if encoder == "resnet18" else 3
    head = build(config((64, 64), encoder=encoder, depth=depth, unit="batchnorm", head_kernel=kernel)).heads["tumour"]
    features = torch.randn(1, 2, 9, 9, requires_grad=True)
    head(features, [], (9, 9))[0, 0, 4, 4].backward()
    assert (features.grad[0, 0] != 0).sum() == seen


def test_taps_keep_their_distance_from_the_deepest_level():
    network = NetworkConfig(depth=5, taps=(3, 4))
    assert network.at_depth("unet", 4).taps == (2, 3)
    assert network.at_depth("unet", 1).taps == ()
    assert NetworkConfig(depth=5).at_depth("resnet18", 4).taps == (), "all levels stay all levels"


@pytest.mark.parametrize("depth", range(6))
def test_every_parameter_gets_a_gradient(depth):
    topology = Topology.branching(NAMES, ["tumour"], depth, 3, 2)
    network = build(config(topology=topology))
    logits = network({"image": torch.randn(2, 2, 8, 8, 8)})
    sum(value.square().sum() for value in logits.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_shared_work_is_computed_once():
    network = build(config(topology=Topology.branching(NAMES, ["tumour"], 2, 3, 2)))
    calls = []
    for level, stage in enumerate(network.encoder):
        for module in stage.children():
            module.register_forward_hook(lambda *_, level=level: calls.append(level))
    network({"image": torch.randn(1, 2, 8, 8, 8)})
    assert calls == [0, 1, 2, 2, 2]


def test_weights_follow_from_the_seed_alone():
    torch.manual_seed(1)
    first = build(config()).state_dict()
    torch.manual_seed(2)
    second = build(config()).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def with_links(*links, depth=2, **network):
    topology = Topology.branching(NAMES, ["tumour"], depth, 3, 2)
    cascades = tuple(link for link in links if isinstance(link, Cascade))
    exchanges = tuple(link for link in links if isinstance(link, Exchange))
    return config(topology=replace(topology, cascades=cascades, exchanges=exchanges), **network)


def batch_inputs(size=(8, 8, 8), channels=2):
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(2, channels, *size, generator=generator),
        "intensity_offset": torch.full((2, channels), 3.0),
        "intensity_scale": torch.full((2, channels), 2.0),
        "voxel_ml": torch.full((2,), 0.5),
    }


LINKS = [
    *(
        Cascade(source="tumour", target="survival", carries=carries)
        for carries in ("logits", "probabilities", "features", "masked_features", "measurements")
    ),
    *(
        Cascade(source="tumour", target="survival", carries=carries, stage=2)
        for carries in ("logits", "probabilities", "features")
    ),
    Cascade(source="metastasis", target="tumour", carries="probabilities"),
    Cascade(source="metastasis", target="tumour", carries="logits", stage=4),
    Cascade(source="metastasis", target="tumour", carries="features", stage=3),
    Cascade(source="survival", target="metastasis", carries="logits", gradient=False),
    *(
        Exchange(stage=2, source="tumour", target="survival", unit=unit, both_ways=both)
        for unit in ("cross_stitch", "nddr", "attention")
        for both in (True, False)
    ),
]


@pytest.mark.parametrize("link", LINKS, ids=str)
def test_every_kind_of_link_is_built_and_trained(link):
    network = build(with_links(link)).double()
    inputs = {name: value.double() for name, value in batch_inputs().items()}
    logits = network(inputs)
    assert logits["tumour"].shape == (2, 3, 8, 8, 8)
    logits[link.target].sum().backward()
    giver = network.heads[link.source] if isinstance(link, Cascade) and link.carries != "features" else None
    reached = any(p.grad is not None for p in giver.parameters()) if giver else True
    assert reached == getattr(link, "gradient", True)


def test_concatenation_joins_the_next_stage():
    network = build(with_links(Exchange(stage=1, source="tumour", target="survival", unit="concatenation"), depth=1))
    plain = build(config(topology=Topology.branching(NAMES, ["tumour"], 1, 3, 2)))
    assert set(network(batch_inputs())) == set(NAMES)
    tumour, survival = (network.topology.encoder[2].index((name,)) for name in ("tumour", "survival"))
    for group in (tumour, survival):
        shapes = [dict(n.encoder[2][group].named_parameters())["1.body.conv.weight"].shape[1] for n in (network, plain)]
        assert shapes == [8, 4]


def test_measurements_reach_the_last_layer_past_dropout():
    network = build(with_links(Cascade(source="tumour", target="survival", carries="measurements")))
    assert network.heads["survival"].output.in_features == 4 + 5
    with pytest.raises(ValueError, match="inputs lack intensity_offset, intensity_scale, voxel_ml"):
        network({"image": torch.randn(1, 2, 8, 8, 8)})


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (Cascade(source="tumour", target="tumour2", carries="measurements"), "no task 'tumour2'"),
        (Cascade(source="survival", target="tumour", carries="probabilities"), "has no probabilities"),
        (Cascade(source="survival", target="metastasis", carries="measurements"), "passes no decoder"),
    ],
)
def test_links_that_make_no_sense_are_refused(link, message):
    with pytest.raises(ValueError, match=message):
        build(with_links(link))
