"""A small base Config; no dataset is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.config import Config, DatasetConfig, SegmentationConfig, SurvivalConfig, TrainingConfig


@pytest.fixture
def base(tmp_path: Path) -> Config:
    return Config(
        dataset=DatasetConfig(root=str(tmp_path), size_voxels=(16, 16, 16)),
        tasks=(
            SegmentationConfig(name="tumour", target="tumour"),
            SurvivalConfig(name="survival", target="survival"),
        ),
        training=TrainingConfig(epochs=6),
    )
