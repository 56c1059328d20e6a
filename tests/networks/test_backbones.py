"""Library networks as encoders."""

import sys
from typing import Any

import pytest
import torch

from branchpoint.config import ClassificationConfig, Config, DatasetConfig, NetworkConfig, SegmentationConfig
from branchpoint.networks import build
from branchpoint.networks.encoders import architecture
from branchpoint.networks.encoders.backbones import BACKBONES, with_inputs
from branchpoint.topology import Topology

TASKS = (
    SegmentationConfig(name="lesion", target="lesion"),
    ClassificationConfig(name="class", target="class", classes=3),
)
LEVELS = {"resnet18": 5, "efficientnet_b0": 5, "swin_t": 4, "convnext_tiny": 4, "vit_b_16": 4, "inception_v3": 5}


def config(encoder, size=(75, 90), depth=None, tasks=TASKS, **changes):
    settings = {
        "encoder": encoder,
        "depth": depth or LEVELS.get(encoder, 1),
        "in_channels": 1,
        "width": 2,
        "hidden_features": 4,
        "dropout": 0.0,
        **changes,
    }
    return Config(dataset=DatasetConfig(size_voxels=size), tasks=tasks, network=NetworkConfig(**settings))


@pytest.mark.parametrize("encoder", LEVELS)
def test_any_size_gives_maps_of_the_image_and_every_parameter_learns(encoder):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    network = build(config(encoder))
    logits = network({"image": torch.randn(2, 1, 75, 90)})
    assert logits["lesion"].shape == (2, 1, 75, 90)
    assert logits["class"].shape == (2, 3)
    sum(value.square().sum() for value in logits.values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("encoder", "module"), [("resnet18", "layer4"), ("efficientnet_b0", "features"), ("convnext_tiny", "features")]
)
def test_the_deepest_level_is_what_torchvision_computes(encoder, module, tmp_path):
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    library = torchvision.models.get_model(encoder, weights=None).eval()
    torch.save(library.state_dict(), tmp_path / "weights.pth")
    weights = str(tmp_path / "weights.pth")
    topology = Topology.separate(["lesion", "class"], ["lesion"], LEVELS[encoder], LEVELS[encoder])
    settings = config(encoder, in_channels=3, weights=weights, topology=topology)
    network = build(settings).eval()
    captured = []
    library.get_submodule(module).register_forward_hook(lambda *arguments: captured.append(arguments[2]))
    image = torch.randn(1, 3, 96, 64)
    library(image)
    for group in range(2):
        x = image
        for stage in network.encoder:
            x = stage[group](x)
        torch.testing.assert_close(x, captured[0])


def test_vit_tokens_are_those_of_torchvisions_layers():
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    network = build(config("vit_b_16", in_channels=3, tasks=TASKS[1:])).eval()
    torch.manual_seed(config("vit_b_16").seed)
    library = torchvision.models.vit_b_16(weights=None).eval()
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        tokens = library._process_input(image) + library.encoder.pos_embedding[:, 1:]
        expected = library.encoder.ln(library.encoder.layers(tokens)).transpose(1, 2).reshape(1, 768, 14, 14)
        x = image
        for stage in network.encoder:
            x = stage[0](x)
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-5)


def test_branches_do_not_share_weights():
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    network = build(config("resnet18", topology=Topology.branching(["lesion", "class"], ["lesion"], 1, 5, 5)))
    first, second = (next(group.parameters()) for group in network.encoder[2].children())
    assert first is not second
    assert not torch.equal(first, second)


def test_first_convolution_takes_other_channels():
    layer = torch.nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=False)
    grey = torch.randn(1, 1, 20, 20)
    torch.testing.assert_close(with_inputs(layer, 1, 0)(grey), layer(grey.expand(-1, 3, -1, -1)))
    joined = torch.cat((grey, torch.randn(1, 2, 20, 20)), dim=1)
    torch.testing.assert_close(with_inputs(layer, 1, 2)(joined), layer(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("encoder", "size", "width"),
    [("monai_segresnet", (40, 36), 8), ("monai_segresnet", (20, 33, 32), 8), ("monai_swin_unetr", (40, 64), 12)],
)
def test_monai_networks_are_single_stages(encoder, size, width):
    pytest.importorskip("monai", reason="MONAI is not installed")
    network = build(config(encoder, size, width=width))
    logits = network({"image": torch.randn(1, 1, *size)})
    assert logits["lesion"].shape == (1, 1, *size)


@pytest.mark.parametrize("encoder", ["smp_unet_plus_plus", "smp_deeplab_v3_plus"])
def test_segmentation_models_are_single_stages(encoder):
    pytest.importorskip("segmentation_models_pytorch", reason="segmentation-models-pytorch is not installed")
    network = build(config(encoder, (40, 50)))
    assert network({"image": torch.randn(2, 1, 40, 50)})["lesion"].shape == (2, 1, 40, 50)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs segmentation-models-pytorch.*pip install 'branchpoint\[comp"):
        build(config("smp_unet_plus_plus", (32, 32)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 4}, "'resnet18' has 5 levels; set it to 5"),
        ({"size": (64, 64, 64)}, "it takes 2D images, not 3D"),
        ({"weights": "/nowhere.pth"}, "network.weights is '/nowhere.pth': there is no such file"),
    ],
)
def test_errors_say_what_to_do(changes, message):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    with pytest.raises(ValueError, match=message):
        build(config("resnet18", **changes))


def test_every_backbone_has_a_layout():
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    for name in BACKBONES:
        levels = 5 if name.startswith(("resnet", "efficientnet", "inception")) else 4
        family: Any = architecture(config(name, depth=levels).network, 2)
        assert len(family.channels) == levels
        assert family.strides[-1] == (16 if name == "vit_b_16" else 32)
