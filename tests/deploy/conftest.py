"""A study of two folds, trained for a few epochs on a small phantom, and its bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.commands.bundle_study import Request, make_bundle
from branchpoint.config import Config, DatasetConfig, NetworkConfig, SplitConfig, SurvivalConfig, TrainingConfig
from branchpoint.config import SegmentationConfig as Segmentation
from branchpoint.phantoms import make_phantom


@dataclass(frozen=True)
class Finished:
    """A finished study.

    Attributes:
        home: results, cache and weights.
        data: the release.
        bundle: folder of its bundle.
        said: what the command printed.
    """

    home: Path
    data: Path
    bundle: Path
    said: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    home = tmp_path_factory.mktemp("study")
    data = make_phantom(
        "hecktor", home / "raw", patients=12, seed=1, censoring=0.3, spacing_scale=2.0, workers=1, progress=False
    )
    config = Config(
        dataset=DatasetConfig(release="2021", spacing_mm=9.0, size_voxels=(16, 16, 16)),
        tasks=(Segmentation(name="tumour", target="tumour"), SurvivalConfig(name="survival", target="survival")),
        network=NetworkConfig(width=4, depth=3, head_inputs="both", clinical=("age",)),
        training=TrainingConfig(epochs=6, batch_size=4),
        split=SplitConfig(folds=2),
    )
    file = home / "config.json"
    file.write_text(config.to_json())
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("RAY_ADDRESS", raising=False)
        command = ["train", "--config", file, "--data-root", data, "--home", home, "--study", "s", "--folds", "all"]
        done = CliRunner().invoke(cli.app, [str(part) for part in command])
        assert done.exit_code == 0, done.output
    said = make_bundle(Request(store=str(home / "results"), home=home), home / "bundle")
    return Finished(home, data, home / "bundle", said)


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two patients whom the study never saw."""
    out = tmp_path_factory.mktemp("strangers") / "raw"
    make_phantom("hecktor", out, patients=2, seed=99, spacing_scale=2.0, workers=1, progress=False)
    return out / "hecktor_nii"
