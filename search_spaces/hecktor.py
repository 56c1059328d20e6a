"""HECKTOR: outline of the primary tumour (and nodes) and time to progression, from PET/CT of the head and neck.

Searched: whether the tasks are learned together, where they branch, what the survival head gets from the predicted
mask, whether it sees the image, clinical values or both, width, depth, unit, radiomics taps, dropout, loss weights,
how losses or gradients are balanced, and learning rate. The three configurations of Andrearczyk et al. 2021
("Multi-task deep segmentation and radiomics for automatic prognosis in head and neck cancer") come first: loss weights
(Cox, Dice) of (1, 1), (0, 1) and (1, 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from branchpoint.config import AnyTaskConfig, Config, DatasetConfig, SegmentationConfig, SurvivalConfig
from branchpoint.search.space.parts import measuring_point, shared_point, together
from branchpoint.search.space.trial import Trial
from branchpoint.search.space.volumes import suggest_volume_config

RELEASES_WITH_NODES = ("2022", "2025")
RELEASES_WITHOUT_OUTCOME = ("2020",)
CLINICAL = {"2021": ("age", "sex", "t_stage", "n_stage", "hpv")}
"""Covariates that most centres recorded, by release; tobacco and alcohol are known for one centre alone."""
ELSEWHERE = ("age", "sex", "hpv")


def base(dataset: DatasetConfig) -> Config:
    """What all candidates share; budget, split and seed are left to the job."""
    classes = 2 if dataset.release in RELEASES_WITH_NODES else 1
    tasks: tuple[AnyTaskConfig, ...] = (SegmentationConfig(name="tumour", target="tumour", foreground_classes=classes),)
    if dataset.release not in RELEASES_WITHOUT_OUTCOME:
        tasks = (*tasks, SurvivalConfig(name="survival", target="survival"))
    return Config(dataset=dataset, tasks=tasks)


def space(trial: Trial, base: Config) -> Config:
    """The Config of ``trial``."""
    return suggest_volume_config(trial, base, CLINICAL.get(base.dataset.release, ELSEWHERE))


def published(base: Config) -> Mapping[str, dict[str, Any]]:
    """Label to parameter values of the published configurations, as deep as the grid allows, and one that measures."""
    if len(base.tasks) == 1:
        return {"segmentation only": shared_point(base, together(base.tasks))}
    return {
        "multi-task, all shared": shared_point(base, together(base.tasks), "image"),
        "segmentation only": shared_point(base, "tumour"),
        "survival only": shared_point(base, "survival", "image"),
        "segment, measure, predict": measuring_point(base, "image"),
    }


def starting_points(base: Config) -> list[dict[str, Any]]:
    """The points of :func:`published`, and two that see clinical values: beside the image, and alone."""
    if len(base.tasks) == 1:
        return list(published(base).values())
    both, alone = shared_point(base, together(base.tasks), "both"), shared_point(base, "survival", "clinical")
    return [*published(base).values(), both, alone]
