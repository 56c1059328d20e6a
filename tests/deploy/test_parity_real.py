"""Real patients, predicted from their raw files alone by the network of their own fold, have the study's own figures.

Each data set is trained for two epochs in two folds; what comes out is poor, and must be the same by both ways.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from branchpoint.commands import cli
from branchpoint.commands.bundle_study import Request, make_bundle
from branchpoint.config import (
    ClassificationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    OrdinalConfig,
    RegressionConfig,
    SegmentationConfig,
    SplitConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.datasets.splits import split
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.prediction.cases import Case
from branchpoint.deploy.prediction.networks import Ensemble
from branchpoint.deploy.prediction.predict import predict_case
from branchpoint.deploy.prediction.settings import Settings
from branchpoint.execution.held_out import load_summaries

PICTURES = {"encoder": "unet", "in_channels": 3, "width": 4, "depth": 3, "measured_channel": 0}
SETS: dict[str, dict[str, Any]] = {
    "origa": {
        "tasks": (
            SegmentationConfig(name="disc_cup", target="disc_cup", foreground_classes=2),
            ClassificationConfig(name="glaucoma", target="glaucoma"),
            RegressionConfig(name="cup_to_disc_ratio", target="cup_to_disc_ratio", center=0.6, scale=0.1),
        ),
    },
    "ph2": {
        "tasks": (
            SegmentationConfig(name="lesion", target="lesion"),
            ClassificationConfig(name="diagnosis", target="diagnosis", classes=3),
            OrdinalConfig(name="asymmetry", target="asymmetry", classes=3),
        ),
    },
    "busi": {
        "network": {**PICTURES, "in_channels": 1},
        "tasks": (
            SegmentationConfig(name="lesion", target="lesion"),
            ClassificationConfig(name="diagnosis", target="diagnosis", classes=3),
        ),
        "options": ("--skip-faulty",),  # `benign (4)` has a mask of another size
    },
    "sts": {
        "dataset": {"spacing_mm": 8.0, "size_voxels": (32, 32, 32)},
        "network": {"width": 4, "depth": 3, "in_channels": 2},
        "tasks": (
            SegmentationConfig(name="tumour", target="tumour"),
            SurvivalConfig(name="recurrence", target="recurrence"),
        ),
    },
}


@pytest.fixture(scope="module")
def root() -> Path:
    found = os.environ.get("BRANCHPOINT_DATA")
    if not found:
        pytest.skip("BRANCHPOINT_DATA is not set: no real images")
    return Path(found)


@pytest.mark.parametrize(
    "name", ["origa", *(pytest.param(name, marks=pytest.mark.slow) for name in SETS if name != "origa")]
)
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:outlines lose volume")
def test_raw_files_give_the_figures_of_the_study(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    chosen = SETS[name]
    config = Config(
        dataset=DatasetConfig(name=name, release="", **{"size_voxels": (32, 32), **chosen.get("dataset", {})}),
        tasks=chosen["tasks"],
        network=NetworkConfig(**chosen.get("network", PICTURES)),
        training=TrainingConfig(epochs=2, batch_size=4),
        split=SplitConfig(folds=2),
    )
    (tmp_path / "config.json").write_text(config.to_json())
    options = ["--config", tmp_path / "config.json", "--data-root", root / name, "--home", tmp_path, "--study", "s"]
    options += ["--folds", "all", *chosen.get("options", ())]
    trained = CliRunner().invoke(cli.app, ["train", *map(str, options)])
    assert trained.exit_code == 0, trained.output
    make_bundle(Request(store=str(tmp_path / "results"), home=tmp_path), tmp_path / "bundle")
    _compare(Bundle.open(tmp_path / "bundle"), tmp_path, root / name)


def _compare(bundle: Bundle, home: Path, root: Path) -> None:
    dataset = bundle.config(bundle.networks[0]).dataset
    raw = {patient.id: patient for patient in read_cohort(replace(dataset, root=str(root))).patients}
    cohort = PreparedCohort.open(next((home / "cache/cohorts").glob("*.json")))
    compared = 0
    for fold, name in enumerate(bundle.networks):
        kept = load_summaries(next((home / "results/.state/s/runs").glob(f"*-{name}/test.npz")).read_bytes())
        own = Ensemble(bundle, [name])
        for place, index in enumerate(split(cohort, bundle.config(name).split).test):
            patient = raw[cohort.patient_ids[index]]
            case = Case(id=patient.id, images=patient.images, box=patient.box)
            predicted = predict_case(case, own, Settings(folds=(fold,), page=False))
            assert predicted.result["networks"] == [name], "no training image is taken for this one"
            for task, found in predicted.result["tasks"].items():
                known = {key: values[place] for key, values in kept[task].items()}
                _KINDS[found["kind"]](found, known)
            compared += 1
    assert compared == len(cohort)


def _same_mask(found: dict[str, Any], known: dict[str, Any]) -> None:
    """No voxel differs."""
    if known["labelled"]:
        assert [entry["voxels"] for entry in found["classes"] if entry["id"]] == list(known["predicted"])


def _same_classes(found: dict[str, Any], known: dict[str, Any]) -> None:
    np.testing.assert_allclose(list(found["probabilities"].values()), known["probability"], atol=1e-5)


def _same_steps(found: dict[str, Any], known: dict[str, Any]) -> None:
    steps = np.concatenate([[1.0], known["exceeds"], [0.0]])
    np.testing.assert_allclose(list(found["probabilities"].values()), steps[:-1] - steps[1:], atol=1e-5)


def _same_value(found: dict[str, Any], known: dict[str, Any]) -> None:
    assert found["value"] == pytest.approx(float(known["prediction"]), abs=1e-5)


def _same_risk(found: dict[str, Any], known: dict[str, Any]) -> None:
    (log_hazard,) = found["log_hazards"].values()
    assert log_hazard == pytest.approx(float(known["log_hazard"]), abs=1e-5)


_KINDS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "segmentation": _same_mask,
    "classification": _same_classes,
    "ordinal": _same_steps,
    "regression": _same_value,
    "survival": _same_risk,
}
