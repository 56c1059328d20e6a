"""Soft-tissue sarcoma: outline of the tumour, time to recurrence or metastasis, lung metastasis, from PET/CT.

Three tasks, so that grouping (who shares a network at all) and branching (how deep) are open questions. The first
points are all tasks on one shared network, and each task alone. Image-level tasks see the image, clinical values or
both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from branchpoint.config import (
    ClassificationConfig,
    Config,
    DatasetConfig,
    SegmentationConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.search.space.trial import Trial
from branchpoint.search.space.volumes import first_points, published_points, suggest_volume_config

CLINICAL = ("age", "sex", "grade")
LABELS = {"tumour": "segmentation only", "lung_metastasis": "lung metastasis only"}


def base(dataset: DatasetConfig) -> Config:
    """What all candidates share; budget, split and seed are left to the job."""
    return Config(
        dataset=dataset,
        tasks=(
            SegmentationConfig(name="tumour", target="tumour", loss="dice_ce", prior_bias=True),
            SurvivalConfig(name="recurrence", target="recurrence"),
            # 19 of the 51 patients of Vallieres et al. 2015 had lung metastases: unweighted, networks say no to all.
            ClassificationConfig(name="lung_metastasis", target="lung_metastasis", classes=2, class_weights=(1.0, 1.7)),
        ),
        training=TrainingConfig(select_by="average"),
    )


def space(trial: Trial, base: Config) -> Config:
    """The Config of ``trial``."""
    return suggest_volume_config(trial, base, CLINICAL)


def published(base: Config) -> Mapping[str, dict[str, Any]]:
    """Label to parameter values of the configurations that the best found is compared with."""
    return published_points(base, LABELS, CLINICAL)


def starting_points(base: Config) -> list[dict[str, Any]]:
    """The points of :func:`published`, and one that sees clinical values beside the image."""
    return first_points(base, LABELS, CLINICAL)
