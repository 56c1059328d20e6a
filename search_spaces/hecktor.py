"""HECKTOR: outline of the primary tumour (and nodes) and time to progression, from PET/CT of the head and neck.

Searched: whether the tasks are learned together, where they branch, what the survival head gets from the predicted
mask, whether it sees the image, clinical values or both, width, depth, unit, radiomics taps, dropout, loss weights,
how losses or gradients are balanced, and learning rate. The three configurations of Andrearczyk et al. 2021
("Multi-task deep segmentation and radiomics for automatic prognosis in head and neck cancer") come first: loss weights
of survival and outline of (1, 1), (0, 1) and (1, 0). They learn the outline by Dice and cross-entropy, as all
candidates do; ``branchpoint reproduce`` has them as published, by Dice alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from branchpoint.config import (
    AnyTaskConfig,
    Config,
    DatasetConfig,
    SegmentationConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.search.space.parts import shared_point
from branchpoint.search.space.trial import Trial
from branchpoint.search.space.volumes import first_points, published_points, suggest_volume_config

RELEASES_WITH_NODES = ("2022", "2025")
RELEASES_WITHOUT_OUTCOME = ("2020",)
CLINICAL = {"2021": ("age", "sex", "t_stage", "n_stage", "hpv")}
"""Covariates that most centres recorded, by release; tobacco and alcohol are known for one centre alone."""
ELSEWHERE = ("age", "sex", "hpv")
LABELS = {"tumour": "segmentation only"}


def base(dataset: DatasetConfig) -> Config:
    """What all candidates share; budget, split and seed are left to the job."""
    classes = 2 if dataset.release in RELEASES_WITH_NODES else 1
    tasks: tuple[AnyTaskConfig, ...] = (
        SegmentationConfig(name="tumour", target="tumour", foreground_classes=classes, loss="dice_ce", prior_bias=True),
    )
    if dataset.release not in RELEASES_WITHOUT_OUTCOME:
        tasks = (*tasks, SurvivalConfig(name="survival", target="survival"))
    return Config(dataset=dataset, tasks=tasks, training=TrainingConfig(select_by="average"))


def space(trial: Trial, base: Config) -> Config:
    """The Config of ``trial``."""
    return suggest_volume_config(trial, base, _clinical(base))


def published(base: Config) -> Mapping[str, dict[str, Any]]:
    """Label to parameter values of the published configurations, as deep as the grid allows, and one that measures."""
    return published_points(base, LABELS, _clinical(base))


def starting_points(base: Config) -> list[dict[str, Any]]:
    """The points of :func:`published`, and two that see clinical values: beside the image, and alone."""
    points = first_points(base, LABELS, _clinical(base))
    if any(task.name == "survival" for task in base.tasks):
        points.append(shared_point(base, "survival", "clinical"))
    return points


def _clinical(base: Config) -> tuple[str, ...]:
    return CLINICAL.get(base.dataset.release, ELSEWHERE)
