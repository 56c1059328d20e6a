"""The search space of a study on volumes: one value that says what its tasks are, and the rest follows.

Searched: which tasks are learned together, where they part, what passes between them, width, depth and unit, what
image-level heads see, loss weights, how losses or gradients are balanced, and learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from branchpoint.config import AnyTaskConfig, Config, DatasetConfig, NetworkConfig, TrainingConfig
from branchpoint.search.space.parts import (
    main_tasks,
    measuring_point,
    shared_point,
    suggest_balancing,
    suggest_head_inputs,
    suggest_learned,
    suggest_learning_rate,
    suggest_network,
    suggest_topology,
    together,
)
from branchpoint.search.space.trial import Trial


def suggest_volume_config(trial: Trial, base: Config, clinical: Sequence[str]) -> Config:
    """The Config of ``trial``; image-level heads may see ``clinical``."""
    tasks = suggest_learned(trial, base.tasks)
    network = suggest_topology(trial, base, suggest_network(trial, base, tasks), tasks)
    network = suggest_head_inputs(trial, network, tasks, clinical)
    balancing = suggest_balancing(trial, base, tasks, network)
    return replace(suggest_learning_rate(trial, base), tasks=tasks, network=network, balancing=balancing)


def published_points(
    base: Config, labels: Mapping[str, str], clinical: Sequence[str] = ()
) -> Mapping[str, dict[str, Any]]:
    """Label to parameter values: every task together, each alone, and outlines that are measured.

    Args:
        labels: of single tasks, by name; else ``NAME only``.
        clinical: covariates that image-level heads may see; these networks see the image alone.
    """
    seen, asked = "image" if clinical else None, main_tasks(base.tasks)
    points = {labels.get(task.name, f"{task.name} only"): shared_point(base, task.name, seen) for task in asked}
    if len(asked) > 1:
        points = {"multi-task, all shared": shared_point(base, together(base.tasks), seen)} | points
    if len({task.dense for task in asked}) > 1:
        points["segment, measure, predict"] = measuring_point(base, seen)
    return points


def first_points(base: Config, labels: Mapping[str, str], clinical: Sequence[str] = ()) -> list[dict[str, Any]]:
    """:func:`published_points`, and one that sees clinical values beside the image."""
    points = [*published_points(base, labels, clinical).values()]
    if clinical and any(not task.dense for task in main_tasks(base.tasks)):
        points.append(shared_point(base, together(base.tasks), "both"))
    return points


@dataclass(frozen=True, kw_only=True)
class VolumeSpace:
    """A study's tasks, and the search space that follows from them.

    Attributes:
        tasks: the first weighs 1.
        channels: modalities.
        measured_channel: the one that cascades of measurements read.
        clinical: covariates that image-level heads may see.
    """

    tasks: tuple[AnyTaskConfig, ...]
    channels: int
    measured_channel: int = 0
    clinical: tuple[str, ...] = ()

    def base(self, dataset: DatasetConfig) -> Config:
        """What all candidates share; budget and seed are left to the job."""
        training = TrainingConfig(select_by="average")
        if all(task.kind != "survival" for task in self.tasks):
            training = replace(training, event_fraction=None)
        return Config(
            dataset=dataset,
            tasks=self.tasks,
            network=NetworkConfig(in_channels=self.channels, measured_channel=self.measured_channel),
            training=training,
        )

    def space(self, trial: Trial, base: Config) -> Config:
        """The Config of ``trial``."""
        return suggest_volume_config(trial, base, self.clinical)

    def published(self, base: Config) -> Mapping[str, dict[str, Any]]:
        """As :func:`published_points`."""
        return published_points(base, {}, self.clinical)

    def starting_points(self, base: Config) -> list[dict[str, Any]]:
        """As :func:`first_points`."""
        return first_points(base, {}, self.clinical)
