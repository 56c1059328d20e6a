"""A user's own folder (docs/how-to/own-data.md): a task for each target of its declaration, on pictures or volumes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from branchpoint.config import (
    AnyTaskConfig,
    ClassificationConfig,
    Config,
    DatasetConfig,
    MultilabelConfig,
    RegressionConfig,
    SegmentationConfig,
    SurvivalConfig,
)
from branchpoint.datasets.files import list_files
from branchpoint.datasets.preparation.image_files import is_volume
from branchpoint.datasets.preparation.modalities import unit_of
from branchpoint.datasets.readers.folder import declaration_file
from branchpoint.datasets.readers.folder_declaration import (
    ANY_NUMBER,
    ClassificationDeclaration,
    Declaration,
    MultilabelDeclaration,
    RegressionDeclaration,
    SegmentationDeclaration,
    Target,
    read_declaration,
)
from branchpoint.datasets.readers.folder_files import depth_of, match_files
from branchpoint.search.space.images_2d import PictureSpace
from branchpoint.search.space.trial import Trial
from branchpoint.search.space.volumes import VolumeSpace

DEVIATIONS_IN_RANGE = 4
"""A declared range is taken for so many standard deviations of a number, around its middle."""


def has_volumes(declaration: Declaration, root: Path) -> bool:
    """Whether the images are volumes, by the names of their files as the check does; without files, by the patterns."""
    patterns = {name: image.files for name, image in declaration.images.items()}
    found = match_files(root, patterns, list_files(root, depth_of(patterns.values())), ()).found
    files = [path for samples in found.values() for paths in samples.values() for path in paths]
    return any(is_volume(path) for path in files or map(Path, patterns.values()))


def tasks(declaration: Declaration) -> tuple[AnyTaskConfig, ...]:
    """A task of the target's name for each target: masks first, else in the declaration's order.

    Raises:
        ValueError: a number has no range.
    """
    ordered = sorted(declaration.targets.items(), key=lambda item: not isinstance(item[1], SegmentationDeclaration))
    return tuple(_task(name, target) for name, target in ordered)


def _task(name: str, target: Target) -> AnyTaskConfig:
    if isinstance(target, SegmentationDeclaration):
        if target.background:
            return SegmentationConfig(
                name=name, target=name, foreground_classes=len(target.values), loss="dice_ce", prior_bias=True
            )
        return SegmentationConfig(
            name=name,
            target=name,
            foreground_classes=len(target.values) - 1,
            background=False,
            loss="ce",
            metric="miou",
            prior_bias=True,
        )
    if isinstance(target, ClassificationDeclaration):
        return ClassificationConfig(name=name, target=name, classes=len(target.classes))
    if isinstance(target, MultilabelDeclaration):
        return MultilabelConfig(name=name, target=name, labels=len(target.columns))
    if isinstance(target, RegressionDeclaration):
        if target.range == ANY_NUMBER:
            raise ValueError(
                f"targets.{name} of the declaration has no range: say which numbers are possible, such as "
                "range = [0, 50]; the loss is in units of it"
            )
        low, high = target.range
        return RegressionConfig(
            name=name, target=name, center=(low + high) / 2, scale=(high - low) / DEVIATIONS_IN_RANGE
        )
    return SurvivalConfig(name=name, target=name)


@lru_cache(maxsize=8)
def space_of(dataset: DatasetConfig) -> PictureSpace | VolumeSpace:
    """The space that the folder's declaration asks for, read once: a search keeps the space that it began with.

    Raises:
        ValueError: there is no declaration, or it is wrong.
    """
    declaration = read_declaration(declaration_file(dataset))
    learned, images = tasks(declaration), declaration.images
    clinical = declaration.table.covariates if declaration.table else ()
    if has_volumes(declaration, Path(dataset.root)):
        measured = next((place for place, name in enumerate(images) if unit_of(name) == "SUV"), 0)
        return VolumeSpace(tasks=learned, channels=len(images), measured_channel=measured, clinical=clinical)
    return PictureSpace(
        tasks=lambda _: learned,
        channels=sum(image.channels for image in images.values()),
        clinical=clinical,
        measured=len({task.dense for task in learned}) > 1,
    )


def base(dataset: DatasetConfig) -> Config:
    """What all candidates share; budget and seed are left to the job."""
    return space_of(dataset).base(dataset)


def space(trial: Trial, base: Config) -> Config:
    """The Config of ``trial``."""
    return space_of(base.dataset).space(trial, base)


def published(base: Config) -> Mapping[str, dict[str, Any]]:
    """Label to parameter values of the configurations that the best found is compared with."""
    return space_of(base.dataset).published(base)


def starting_points(base: Config) -> list[dict[str, Any]]:
    """What a search tries first."""
    return space_of(base.dataset).starting_points(base)
