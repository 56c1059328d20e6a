"""The rules of ``branchpoint plan``: from a cohort's fingerprint to a Config, each choice with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from branchpoint.config import ClassificationConfig, Config, DatasetConfig
from branchpoint.datasets.fingerprint import CohortFingerprint
from branchpoint.networks.cost import estimate

LARGEST_EDGE = 256
"""Pixels or voxels along the longest edge, unless memory allows less."""
LARGEST_BATCH, SMALLEST_BATCH = 8, 2
COARSER = 1.25
"""By which a grid that does not fit into memory is made coarser."""
RARE = 0.5
"""Classes are balanced where the rarest has less than this share of an even one."""
LEAST_IN_FOLD = 2
"""Samples of the rarest class, or events, that each test fold should hold."""
EDGE_MULTIPLE = 16
"""Voxels of an edge: whole at each of the five levels of the published networks."""
HEAD_AND_NECK_MM = 144.0
"""Edge of the window of head-and-neck scans (Andrearczyk et al. 2021, section 2.1)."""


@dataclass(frozen=True)
class Choice:
    """One line of a plan.

    Attributes:
        name: of the Config's field.
        value: as text.
        reason: what in the data it follows from.
    """

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class TrainingPlan:
    """A Config and why it is so."""

    config: Config
    choices: tuple[Choice, ...]


def plan_training(
    found: CohortFingerprint,
    dataset: DatasetConfig,
    base_of: Callable[[DatasetConfig], Config],
    *,
    region: str,
    memory_gb: float,
    steps: int,
) -> TrainingPlan:
    """Choose grid, batch, width, epochs, folds and class weights.

    Args:
        found: the cohort's fingerprint.
        dataset: name, folder and release.
        base_of: the study's Config for a grid.
        region: how volumes are cropped, :attr:`branchpoint.datasets.cohort.Cohort.region`.
        memory_gb: for one training.
        steps: optimiser steps of one training.

    Raises:
        ValueError: not even the coarsest grid with a batch of ``SMALLEST_BATCH`` fits into the memory.
    """
    config, choices = _grid_and_batch(found, dataset, base_of, region, memory_gb)
    config, weights = _class_weights(found, config)
    config, folds = _folds(found, config)
    config, epochs = _epochs(found, config, steps)
    return TrainingPlan(config, (*choices, *_given(config), *weights, *folds, *epochs))


def _grid_and_batch(
    found: CohortFingerprint,
    dataset: DatasetConfig,
    base_of: Callable[[DatasetConfig], Config],
    region: str,
    memory_gb: float,
) -> tuple[Config, list[Choice]]:
    finest, why = _finest(found, region)
    coarseness = 1.0
    while True:
        grid = _grid(found, dataset, finest, coarseness)
        base = base_of(grid)
        for batch in range(LARGEST_BATCH, SMALLEST_BATCH - 1, -2):
            need = memory_of(base, batch)
            if need <= memory_gb:
                sized = replace(base, training=replace(base.training, batch_size=batch))
                return sized, _grid_choices(grid, why, coarseness, batch, need, memory_gb)
        if max(grid.size_voxels) <= 32:
            raise ValueError(
                f"--memory-gb is {memory_gb:g}: a batch of {SMALLEST_BATCH} on a grid of {_text(grid)} needs "
                f"{need:.1f} GB; give more memory, or train a narrower network (--width of the jobs)"
            )
        coarseness *= COARSER


def memory_of(config: Config, batch: int) -> float:
    """GB that a training step of ``config`` needs: activations of ``batch`` samples, and four numbers per weight."""
    cost = estimate(config)
    return (batch * cost.activation_bytes + 4 * 4 * cost.parameters) / 1e9


def _finest(found: CohortFingerprint, region: str) -> tuple[tuple[np.ndarray, float], str]:
    """Lengths that the grid spans, the finest spacing, and why."""
    if found.dimensions == 2:
        size = np.median(found.sizes, axis=0)
        spacing = max(1.0, size.max() / LARGEST_EDGE)
        return (size, spacing), f"pictures have {size[0]:.0f} x {size[1]:.0f} pixels in the median"
    spacing = float(np.median(found.spacings_mm))
    extent = np.percentile(found.extents_mm, 95, axis=0)
    why = f"95 % of the scans reach no further than {' x '.join(f'{mm:.0f}' for mm in extent)} mm"
    if region == "head_and_neck":
        extent, why = np.minimum(extent, HEAD_AND_NECK_MM), f"a head and neck fits into {HEAD_AND_NECK_MM:g} mm"
    spacing = max(spacing, float(extent.max()) / LARGEST_EDGE)
    return (extent, spacing), f"the median spacing is {float(np.median(found.spacings_mm)):.3g} mm; {why}"


def _grid(
    found: CohortFingerprint, dataset: DatasetConfig, finest: tuple[np.ndarray, float], coarseness: float
) -> DatasetConfig:
    """The grid that spans ``finest``'s lengths, up to a quarter of ``EDGE_MULTIPLE``."""
    lengths, spacing = finest[0], finest[1] * coarseness
    blocks = [max(1, math.ceil(length / spacing / EDGE_MULTIPLE - 0.25)) for length in lengths]
    grid = replace(dataset, size_voxels=tuple(EDGE_MULTIPLE * count for count in blocks))
    return replace(grid, spacing_mm=float(f"{spacing:.3g}")) if found.dimensions == 3 else grid


def _grid_choices(
    grid: DatasetConfig, why: str, coarseness: float, batch: int, need: float, memory_gb: float
) -> list[Choice]:
    limits = f"; {coarseness:.2f} times coarser, to fit into {memory_gb:g} GB" if coarseness > 1 else ""
    lines = [Choice("dataset.size_voxels", _text(grid), why + limits)]
    if len(grid.size_voxels) == 3:
        lines.append(Choice("dataset.spacing_mm", f"{grid.spacing_mm:g}", f"the scans' own, where it fits{limits}"))
    reason = f"a step needs about {need:.1f} of {memory_gb:g} GB"
    return [*lines, Choice("training.batch_size", str(batch), reason)]


def _given(config: Config) -> list[Choice]:
    """What follows from the study's space, whatever the data."""
    losses = ", ".join(f"{task.name}: {getattr(task, 'loss', task.kind)}" for task in config.tasks if task.weight)
    network = f"{config.network.encoder}, width {config.network.width}, depth {config.network.depth}"
    return [
        Choice("network", network, "the first network of the study's search space"),
        Choice("tasks", losses, "the study's losses"),
        Choice("training.select_by", config.training.select_by, "weights at the end; nothing is chosen by validation"),
    ]


def _class_weights(found: CohortFingerprint, config: Config) -> tuple[Config, list[Choice]]:
    tasks: list[Any] = []
    choices = []
    for task in config.tasks:
        counts = found.targets[task.target].counts if task.target in found.targets else {}
        if isinstance(task, ClassificationConfig) and len(counts) > 1 and not task.class_weights:
            least, total = min(counts.values()), sum(counts.values())
            balanced = least < RARE * total / len(counts)
            reason = f"the rarest class has {least} of {total} samples"
            choices.append(Choice(f"tasks.{task.name}.balanced", str(balanced).lower(), reason))
            task = replace(task, balanced=balanced)
        tasks.append(task)
    return replace(config, tasks=tuple(tasks)), choices


def _folds(found: CohortFingerprint, config: Config) -> tuple[Config, list[Choice]]:
    if config.split.scheme != "cross_validation":
        return config, [Choice("split.scheme", config.split.scheme, "the split that comes with the data")]
    asked = [found.targets[name] for name in {task.target for task in config.tasks} if name in found.targets]
    rarest = [min(target.counts.values()) for target in asked if len(target.counts) > 1]
    rarest += [target.counts.get(1, 0) for target in asked if target.kind == "survival"]
    fewest = min([found.groups, *rarest])
    folds = max(2, min(5, fewest // LEAST_IN_FOLD))
    reason = f"{found.samples} samples in {found.groups} groups; the rarest class or event occurs {fewest} times"
    choice = Choice("split.folds", str(folds), reason)
    return replace(config, split=replace(config.split, folds=folds)), [choice]


def _epochs(found: CohortFingerprint, config: Config, steps: int) -> tuple[Config, list[Choice]]:
    share = (1 - 1 / config.split.folds) * (1 - config.split.validation_fraction)
    each = max(1, math.ceil(found.samples * share / config.training.batch_size))
    epochs = max(1, math.ceil(steps / each))
    reason = f"{steps} optimiser steps (--steps), {each} in an epoch of a fold's training samples"
    training = replace(config.training, epochs=epochs)
    return replace(config, training=training), [Choice("training.epochs", str(epochs), reason)]


def _text(grid: DatasetConfig) -> str:
    return " x ".join(map(str, grid.size_voxels))
