"""Predictions as means over mirrored copies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.config import AugmentationConfig
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.prediction.mirrored import mirrored_copies
from branchpoint.deploy.prediction.networks import Ensemble
from tests.deploy.conftest import Finished

COPIES = ((-1,), (-2,), (-1, -2))


def augmented(mirror: bool, flip: bool) -> AugmentationConfig:
    return AugmentationConfig(mirror=mirror, flip=flip)


@pytest.mark.parametrize("labels", [["left lung", "right lung"], ["kidney_left"], ["Right"]])
def test_sides_stay_where_they_are(labels: list[str]) -> None:
    assert mirrored_copies(augmented(True, True), labels) == [(-2,)]
    with pytest.raises(ValueError, match="names a side; predict without it"):
        mirrored_copies(augmented(True, False), labels)


def test_what_training_did_not_turn_is_not_turned() -> None:
    assert mirrored_copies(augmented(True, False), ["cleft", "bright"]) == [(-1,)]
    with pytest.raises(ValueError, match="mirror is False, flip is False"):
        mirrored_copies(augmented(False, False), [])


def test_mirrored_images_have_mirrored_predictions(finished: Finished) -> None:
    """A mean over all copies does not depend on which of them was given; one pass does."""
    bundle = Bundle.open(finished.bundle)
    torch.manual_seed(0)
    inputs = {"image": torch.randn(1, 2, 16, 16, 16), "voxel_ml": torch.tensor([0.7]), "clinical": torch.zeros(1, 1)}
    turned = {**inputs, "image": inputs["image"].flip(-1)}
    once, mean = Ensemble(bundle, bundle.networks), Ensemble(bundle, bundle.networks, mirrored=COPIES)
    names = list(bundle.networks)

    def far(ensemble: Ensemble) -> tuple[float, float]:
        one, other = ensemble.window(inputs, names), ensemble.window(turned, names)
        risks = [each.values["survival"]["fold0"][0] for each in (one, other)]
        return float(np.abs(one.dense["tumour"] - other.dense["tumour"][..., ::-1]).max()), abs(risks[0] - risks[1])

    assert max(far(mean)) < 1e-5
    assert min(far(once)) > 1e-4
    by_hand = [once.window({**inputs, "image": inputs["image"].flip(axes)}, names) for axes in ((), *COPIES)]
    masks = [np.flip(one.dense["tumour"], axes) for one, axes in zip(by_hand, ((), *COPIES), strict=True)]
    together = mean.window(inputs, names)
    assert together.dense["tumour"] == pytest.approx(np.mean(masks, axis=0), abs=1e-6)
    risks = [one.values["survival"]["fold1"] for one in by_hand]
    assert together.values["survival"]["fold1"] == pytest.approx(np.mean(risks, axis=0))


def test_command(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    ct = min(strangers.glob("*_ct.nii.gz"))
    case = f"CT={ct},PET={str(ct).replace('_ct.', '_pt.')}"
    command = ["predict", finished.bundle, "--input", case, "--id", "a", "--no-page", "--out"]
    for out, more in ((tmp_path / "once", []), (tmp_path / "mean", ["--tta"])):
        done = CliRunner().invoke(cli.app, [str(part) for part in [*command, out, *more]])
        assert done.exit_code == 0, done.output
    once, mean = (json.loads((tmp_path / name / "a/result.json").read_text()) for name in ("once", "mean"))
    assert mean["settings"]["mirrored"] == [[-1]]
    assert "mirrored" not in once["settings"]
    assert mean["tasks"]["survival"]["log_hazards"] != once["tasks"]["survival"]["log_hazards"]
    mixed = CliRunner().invoke(cli.app, [str(part) for part in [*command, tmp_path / "once", "--tta"]])
    assert "made with other settings" in str(mixed.exception)
