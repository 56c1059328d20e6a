"""A few epochs on pictures: lesion masks and a diagnosis from colour images, some of them unlabelled."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from branchpoint.config import (
    AugmentationConfig,
    ClassificationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SplitConfig,
    TrainingConfig,
)
from branchpoint.datasets.check import check_cohort, refuse_if_faulty
from branchpoint.datasets.prepared import PreparedCohort, prepare
from branchpoint.datasets.readers.registry import read_cohort
from branchpoint.evaluation.evaluation import evaluate
from branchpoint.phantoms import make_phantom
from branchpoint.training.loop import fit

SIZE = (32, 32)


def config_for(name: str, root: Path, epochs: int, **changes: object) -> Config:
    config = Config(
        dataset=DatasetConfig(name=name, root=str(root), size_voxels=SIZE),
        tasks=(
            SegmentationConfig(name="lesion", target="lesion"),
            ClassificationConfig(name="diagnosis", target="diagnosis", classes=3),
        ),
        network=NetworkConfig(in_channels=3, width=8, depth=3, hidden_features=16, dropout=0.0),
        optimizer=OptimizerConfig(learning_rate=1e-2),
        training=TrainingConfig(
            epochs=epochs, batch_size=8, event_fraction=None, augmentation=AugmentationConfig(shift_mm=3)
        ),
    )
    return replace(config, **changes)  # type: ignore[arg-type]


def prepared_from(config: Config, cache: Path) -> PreparedCohort:
    cohort = read_cohort(config.dataset)
    refuse_if_faulty(check_cohort(cohort, config.dataset, workers=1))
    return prepare(cohort, config.dataset, cache, workers=1, progress=False)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_phantom_is_learned_on_its_official_parts(tmp_path: Path) -> None:
    root = make_phantom("isic2017", tmp_path / "isic", patients=30, size_scale=0.15, progress=False)
    config = config_for("isic2017", root, epochs=5, split=SplitConfig(scheme="official"))
    prepared = prepared_from(config, tmp_path / "cache")
    result = fit(config, prepared)
    losses = [report.metrics["train/loss"] for report in result.history]
    assert losses[-1] < 0.85 * losses[0]
    test = [row for row, name in enumerate(prepared.patient_ids) if prepared.splits["official"][name] == "test"]
    summaries = evaluate(result.network, config, prepared, test)
    assert len(summaries["lesion"]["labelled"]) == len(test) == 7


def test_real_dermoscopy_is_learned(tmp_path: Path) -> None:
    folder = os.environ.get("BRANCHPOINT_DATA")
    if not folder or not (Path(folder) / "ph2").is_dir():
        pytest.skip("needs the real PH2 files: set BRANCHPOINT_DATA to the folder that holds ph2/")
    config = config_for("ph2", Path(folder) / "ph2", epochs=3)
    result = fit(config, prepared_from(config, tmp_path / "cache"))
    losses = [report.metrics["train/loss"] for report in result.history]
    assert losses[-1] < losses[0]
