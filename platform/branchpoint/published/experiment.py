"""What a published experiment is: rows of Configs beside the figures that the paper reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from branchpoint.config import Config, SplitConfig

Part = Literal["test", "validation"]


@dataclass(frozen=True)
class Column:
    """One figure of a table.

    Attributes:
        title: as the paper calls it, such as ``JI``.
        task: whose figure; ``*``: that of the row's first task.
        metric: its name in this task's metrics.
        part: samples it is of.
        group: only samples of this group (video); empty: all.
    """

    title: str
    task: str
    metric: str
    part: Part = "test"
    group: str = ""

    def task_of(self, config: Config) -> str:
        """Name of the task in ``config`` whose figure this is; empty where ``config`` has none of that name."""
        names = [task.name for task in config.tasks]
        return names[0] if self.task == "*" else self.task if self.task in names else ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        name: what is trained, such as ``sequential, both``.
        subset: part of the data it is trained and tested on, such as a vendor; empty: all.
        config: with the paper's hyper-parameters, seed 0, fold 0, no folder of data yet.
        paper: title of a column to what the paper reports, from 0 to 1.
        note: what the figures beside it are, where they are not of this very method.
    """

    name: str
    subset: str = ""
    config: Config
    paper: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def label(self) -> str:
        """Unique in a table."""
        return f"{self.name}, {self.subset}" if self.subset else self.name


@dataclass(frozen=True)
class Unavailable:
    """A line of the paper's table that cannot be trained here yet."""

    name: str
    why: str
    paper: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One table (or figure) of a paper on one dataset.

    Attributes:
        paper: short name, such as ``resformer``.
        dataset: name of the reader.
        table: number in the paper, such as ``8`` or ``fig4``.
        title: what it shows.
        columns: its figures.
        rows: its lines.
        compared: pairs of names of rows; each pair is tested on every subset that both have.
        seeds: how often the paper trained each row.
        deviations: what differs from the paper, and why.
        weigh_labels: multilabel tasks get positive weights from the training samples.
        unavailable: lines that are listed only.
    """

    paper: str
    dataset: str
    table: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    compared: tuple[tuple[str, str], ...] = ()
    seeds: int = 1
    deviations: tuple[str, ...] = ()
    weigh_labels: bool = False
    unavailable: tuple[Unavailable, ...] = ()

    @property
    def name(self) -> str:
        """``resformer isic2017 8``."""
        return f"{self.paper} {self.dataset} {self.table}"

    def chosen(self, names: Sequence[str]) -> Experiment:
        """With the rows called ``names`` (by label or by name, case aside) alone; all where there are none.

        Raises:
            ValueError: no row has such a name.
        """
        wanted = [name.strip().lower() for name in names]
        known = {text.lower() for row in self.rows for text in (row.label, row.name, row.subset) if text}
        for name in wanted:
            if name not in known:
                raise ValueError(f"{self.name} has no row {name!r}; it has {'; '.join(row.label for row in self.rows)}")
        kept = [
            row
            for row in self.rows
            if not wanted or {row.label.lower(), row.name.lower(), row.subset.lower()} & set(wanted)
        ]
        return replace(self, rows=tuple(kept), unavailable=() if wanted else self.unavailable)


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """Upper limits that make an experiment small enough to be tried; its figures then say nothing of the paper's.

    Attributes:
        edge: pixels along each axis.
        spacing_mm: of volumes, at least; they stay as large in millimetres.
        width: channels of the first level.
        least_rate: learning rate, at least: few epochs need larger steps.
    """

    edge: int
    spacing_mm: float
    width: int
    epochs: int
    batch_size: int
    folds: int
    least_rate: float = 1e-3

    def of(self, config: Config) -> Config:
        """``config`` within the limits."""
        dataset, network, training = config.dataset, config.network, config.training
        volumes = len(dataset.size_voxels) == 3
        spacing = max(dataset.spacing_mm, self.spacing_mm) if volumes else dataset.spacing_mm
        size = tuple(
            round(length * dataset.spacing_mm / spacing) if volumes else min(length, self.edge)
            for length in dataset.size_voxels
        )
        return replace(
            config,
            dataset=replace(dataset, size_voxels=size, spacing_mm=spacing),
            network=replace(
                network,
                width=min(network.width, self.width),
                hidden_features=min(network.hidden_features, 4 * self.width),
            ),
            training=replace(
                training, epochs=min(training.epochs, self.epochs), batch_size=min(training.batch_size, self.batch_size)
            ),
            optimizer=replace(config.optimizer, learning_rate=max(config.optimizer.learning_rate, self.least_rate)),
            split=replace(config.split, folds=min(config.split.folds, self.folds)),
        )


def without_leaks(split: SplitConfig) -> SplitConfig:
    """The cross-validation that keeps volumes, videos and patients together, for a paper's own parts."""
    return replace(split, scheme="cross_validation")
