"""timm's networks as encoders: the library's own features, weights from files, clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from branchpoint.networks import build
from branchpoint.networks.encoders.backbones import level_count
from branchpoint.networks.encoders.timm_levels import timm_levels
from tests.networks.test_backbones import config

timm = pytest.importorskip("timm", reason="timm is not installed")
NAMES = ("resnet10t", "convnext_atto", "efficientnet_b0", "mobilenetv3_small_050", "regnety_002", "densenet121")


@pytest.mark.parametrize("name", NAMES)
def test_levels_give_the_librarys_features(name: str) -> None:
    library = timm.create_model(name, features_only=True).eval()
    levels = [level.eval() for level in timm_levels(f"timm/{name}", "")]
    ours = [parameter for level in levels for parameter in level.parameters()]
    with torch.no_grad():
        for parameter, value in zip(ours, library.parameters(), strict=True):
            parameter.copy_(value)
        x = torch.randn(1, 3, 64, 96)
        expected = library(x)
        for level, features in zip(levels, expected, strict=True):
            x = level(x)
            torch.testing.assert_close(x, features, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["timm/resnet10t", "timm/convnext_atto"])
def test_any_size_gives_maps_of_the_image_and_every_parameter_learns(name: str) -> None:
    network = build(config(name, depth=level_count(name)))
    logits = network({"image": torch.randn(2, 1, 75, 90)})
    assert logits["lesion"].shape == (2, 1, 75, 90)
    assert logits["class"].shape == (2, 3)
    sum(value.square().sum() for value in logits.values()).backward()
    assert [each for each, p in network.named_parameters() if p.grad is None] == []


def test_weights_come_from_a_file_and_one_channel_keeps_their_sum(tmp_path: Path) -> None:
    library = timm.create_model("resnet10t", in_chans=3)
    torch.save(library.state_dict(), tmp_path / "weights.pth")
    levels = timm_levels("timm/resnet10t", str(tmp_path / "weights.pth"))
    torch.testing.assert_close(next(levels[-1].parameters()), next(library.layer4.parameters()))
    network = build(config("timm/resnet10t", depth=5, weights=str(tmp_path / "weights.pth")))
    first = next(p for _, p in network.encoder.named_parameters())
    torch.testing.assert_close(first.sum(1), library.conv1[0].weight.sum(1), atol=1e-5, rtol=1e-4)


def test_wrong_names_models_and_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="timm has no model 'resnet19'"):
        build(config("timm/resnet19", depth=5))
    with pytest.raises(ValueError, match="does not come in levels"):
        timm_levels("timm/swin_tiny_patch4_window7_224", "")
    with pytest.raises(ValueError, match="has 5 levels; set it to 5"):
        build(config("timm/resnet10t", depth=4))
    with pytest.raises(ValueError, match="there is no such file"):
        timm_levels("timm/resnet10t", str(tmp_path / "none.pth"))
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match="missing there or have another shape"):
        timm_levels("timm/resnet10t", str(tmp_path / "other.pth"))
