"""A study as a script: its dataset, its search space and its scales, from the smallest try to the published one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from branchpoint.config import Config, DatasetConfig
from branchpoint.search.space.trial import Trial

SCHEMES = ("cross_validation", "centres", "official", "paper")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The size of everything in a study; the command line can override each value.

    Attributes:
        spacing_mm: isotropic spacing of volumes after resampling.
        size: edges of a sample in voxels, or one number for all edges.
        patients: number of patients of the phantom.
        phantom_scale: voxel size of the phantom's scans, or size of its pictures, relative to real ones.
        censoring: share of the phantom's patients without an event.
        folds: folds of the cross-validation.
        trials: trials of the search.
        epochs: epochs of a trial.
        final_epochs: epochs of a finalist.
        top: best candidates that are trained on all folds.
        seeds: networks of each finalist on each fold.
        width: channels of the first level, about which the search varies.
        batch_size: samples of a training step.
        learning_rate: learning rate of the published configurations; the search varies it.
    """

    spacing_mm: float = 1.0
    size: int | tuple[int, ...] = 144
    patients: int = 60
    phantom_scale: float = 1.0
    censoring: float = 0.8
    folds: int = 5
    trials: int = 60
    epochs: int = 60
    final_epochs: int = 60
    top: int = 3
    seeds: int = 3
    width: int = 8
    batch_size: int = 10
    learning_rate: float = 1e-3


class StudySpace(Protocol):
    """The module of ``search_spaces`` that belongs to a study."""

    def base(self, dataset: DatasetConfig) -> Config:
        """The Config that all candidates share."""

    def space(self, trial: Trial, base: Config) -> Config:
        """The Config of one trial."""

    def published(self, base: Config) -> Mapping[str, dict[str, Any]]:
        """Parameter values of the published configurations, by label."""

    def starting_points(self, base: Config) -> list[dict[str, Any]]:
        """Parameter values that a search tries first."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One study as a script.

    Attributes:
        dataset: name of the reader.
        release: release of the dataset that is used by default.
        space: module of ``search_spaces``.
        scales: scales by name; ``paper`` is used with ``--data-root``, otherwise ``default``.
        default: scale without ``--data-root``.
        dimensions: 3 for volumes, 2 for pictures, which have no millimetres.
        phantom: gives the settings of the phantom that follow from the scale, beside patients and seed; ``None`` for
            datasets without a phantom.
        of_folder: gives the job for a folder and a release, for datasets whose folder says what the data are.
    """

    dataset: str
    release: str = ""
    space: StudySpace
    scales: Mapping[str, Scale]
    default: str = "demo"
    dimensions: Literal[2, 3] = 3
    phantom: Callable[[Scale], dict[str, Any]] | None = None
    of_folder: Callable[[Path, str], Job] | None = None

    def at(self, root: Path | None, release: str) -> Job:
        """This job for the data in ``root``."""
        return self if root is None or self.of_folder is None else self.of_folder(root.expanduser().resolve(), release)

    def scale(self, name: str, changes: Mapping[str, Any]) -> Scale:
        """The scale ``name`` with some of its fields changed.

        Raises:
            ValueError: a spacing in millimetres is given for pictures.
        """
        if self.dimensions == 2 and "spacing_mm" in changes:
            raise ValueError(
                f"--spacing-mm is {changes['spacing_mm']:g}: pictures of {self.dataset} have no millimetres, use --size"
            )
        return replace(self.scales[name], **changes)

    def grid(self, scale: Scale) -> tuple[int, ...]:
        """Edges of a sample in voxels.

        Raises:
            ValueError: the scale has a different number of edges than the samples have dimensions.
        """
        edges = (scale.size,) * self.dimensions if isinstance(scale.size, int) else scale.size
        if len(edges) != self.dimensions:
            raise ValueError(f"--size gives {len(edges)} edges; samples of {self.dataset} have {self.dimensions}")
        return edges


def base_config(
    job: Job, scale: Scale, root: Path, *, release: str = "", seed: int = 0, scheme: str | None = None
) -> Config:
    """The Config that all candidates of the job share.

    Raises:
        ValueError: a setting is out of range.
    """
    dataset = DatasetConfig(
        name=job.dataset,
        root=str(root),
        release=release,
        spacing_mm=scale.spacing_mm,
        size_voxels=job.grid(scale),
    )
    base: Config = job.space.base(dataset)
    parts: Any = scheme or base.split.scheme
    if parts not in SCHEMES:
        raise ValueError(f"--scheme is {parts!r}: choose {', '.join(SCHEMES)}")
    return replace(
        base,
        network=replace(base.network, width=scale.width),
        training=replace(base.training, epochs=scale.epochs, batch_size=scale.batch_size),
        optimizer=replace(base.optimizer, learning_rate=scale.learning_rate),
        split=replace(base.split, folds=scale.folds, seed=seed, scheme=parts),
        seed=seed,
    )


def picture_phantom(scale: Scale) -> dict[str, Any]:
    """Settings of phantoms of pictures."""
    return {"size_scale": scale.phantom_scale}


def small_picture_scales(paper: int, demo: int) -> dict[str, Scale]:
    """Scales for real releases of some hundred pictures, whose edges are ``paper`` or ``demo`` pixels."""
    return {
        "paper": Scale(size=paper, width=16, batch_size=8, trials=40, epochs=60, final_epochs=80),
        "demo": Scale(size=demo, width=8, batch_size=8, trials=16, epochs=24, final_epochs=48, top=2),
        "smoke": Scale(size=32, folds=2, trials=2, epochs=1, final_epochs=1, top=1, width=4),
    }
