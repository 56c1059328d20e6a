"""Task configurations: what a network can learn. :mod:`branchpoint.tasks` builds what they describe.

Standard library only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from branchpoint.config.serialization import require


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What every task has.

    Attributes:
        name: name of the task, unique in a Config; a branch of the topology bears it.
        target: key of the cohort's label that the task learns.
        weight: weight of its loss; 0 leaves the task untrained.
    """

    kind: ClassVar[str]
    dense: ClassVar[bool] = False
    target_kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of the cohort's targets that it reads; none where its target is computed, not labelled."""
    auxiliary: ClassVar[bool] = False
    """Learned for the sake of others: it neither chooses the best epoch nor counts in a score."""
    compares_samples: ClassVar[bool] = False
    """Its loss is no mean over samples, but compares those of a batch with each other."""

    name: str
    target: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        require(bool(self.name), "task.name", self.name, "must not be empty")
        require(
            math.isfinite(self.weight) and self.weight >= 0,
            self.place("weight"),
            self.weight,
            "must be finite and at least 0",
        )

    def place(self, field: str) -> str:
        """How messages name ``field``."""
        return f"tasks.{self.name}.{field}"


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(TaskConfig):
    """One mask per sample. One foreground class: a sigmoid channel; more: softmax over background and classes.

    Attributes:
        foreground_classes: number K of classes beside class 0.
        background: class 0 is background, which Dice leaves out; else it is a class like the others (CaDIS).
        loss: ``dice`` and ``dice_focal`` as papers 003 and Iantsen's; ``ce``, ``focal``, and sums of two.
        class_weights: weights of classes 0 to K in the cross-entropy.
        metric: what ranks configurations: ``dice`` and ``ji`` (Jaccard index) as means over images, ``miou`` as
            paper 002 (in each image over the classes there, class 0 among them), ``miou_aggregated`` over classes
            of all pixels together.
    """

    kind: ClassVar[str] = "segmentation"
    dense: ClassVar[bool] = True
    target_kinds: ClassVar[tuple[str, ...]] = ("segmentation",)

    foreground_classes: int = 1
    background: bool = True
    loss: Literal["dice", "ce", "focal", "dice_focal", "dice_ce"] = "dice"
    class_weights: tuple[float, ...] = ()
    metric: Literal["dice", "ji", "miou", "miou_aggregated"] = "dice"

    def __post_init__(self) -> None:
        super().__post_init__()
        classes = self.foreground_classes
        require(classes >= 1, self.place("foreground_classes"), classes, "must be at least 1")
        require(
            self.background or classes > 1,
            self.place("background"),
            self.background,
            "a single sigmoid channel has a background: use foreground_classes >= 2",
        )
        _require_weights(self, self.class_weights, classes + 1)
        require(
            not self.class_weights or self.loss in ("ce", "dice_ce"),
            self.place("class_weights"),
            self.class_weights,
            f"the loss {self.loss!r} has no weights of classes",
        )


@dataclass(frozen=True, kw_only=True)
class SurvivalConfig(TaskConfig):
    """Time to an event, right-censored: one log-hazard per sample, Cox partial likelihood."""

    kind: ClassVar[str] = "survival"
    target_kinds: ClassVar[tuple[str, ...]] = ("survival",)
    compares_samples: ClassVar[bool] = True

    ties: Literal["breslow", "efron"] = "breslow"


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(TaskConfig):
    """One class per sample; ``class_weights`` (one for each class) weight the cross-entropy."""

    kind: ClassVar[str] = "classification"
    target_kinds: ClassVar[tuple[str, ...]] = ("classification",)

    classes: int = 2
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.classes >= 2, self.place("classes"), self.classes, "must be at least 2")
        _require_weights(self, self.class_weights, self.classes)


@dataclass(frozen=True, kw_only=True)
class MultilabelConfig(TaskConfig):
    """Several labels per sample, each there or not: a sigmoid and binary cross-entropy for each.

    A target of one class per sample is read as one label for each class, exactly one of them there (paper 001).

    Attributes:
        labels: number of labels.
        positive_weights: what the loss of a label that is there is multiplied by, for each label.
    """

    kind: ClassVar[str] = "multilabel"
    target_kinds: ClassVar[tuple[str, ...]] = ("multilabel", "classification")

    labels: int
    positive_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.labels >= 1, self.place("labels"), self.labels, "must be at least 1")
        _require_weights(self, self.positive_weights, self.labels, "positive_weights")


@dataclass(frozen=True, kw_only=True)
class OrdinalConfig(TaskConfig):
    """One of several ordered classes per sample (a grade): continuation-ratio model."""

    kind: ClassVar[str] = "ordinal"
    target_kinds: ClassVar[tuple[str, ...]] = ("classification",)

    classes: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.classes >= 2, self.place("classes"), self.classes, "must be at least 2")


@dataclass(frozen=True, kw_only=True)
class RegressionConfig(TaskConfig):
    """A number per sample.

    Attributes:
        loss: squared (``mse``) or absolute (``mae``) error, in units of ``scale``.
        center, scale: the network predicts (value - center) / scale; mean and deviation of the training samples are
            good choices.
    """

    kind: ClassVar[str] = "regression"
    target_kinds: ClassVar[tuple[str, ...]] = ("regression",)

    loss: Literal["mse", "mae"] = "mse"
    center: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(math.isfinite(self.center), self.place("center"), self.center, "must be finite")
        require(0 < self.scale < math.inf, self.place("scale"), self.scale, "must be positive and finite")


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig(TaskConfig):
    """The image itself, as an auxiliary task: every image teaches it, labelled or not.

    Attributes:
        channels: of the image.
        loss: squared (``mse``) or absolute (``mae``) error of normalised intensities.
    """

    kind: ClassVar[str] = "reconstruction"
    dense: ClassVar[bool] = True
    auxiliary: ClassVar[bool] = True

    target: str = "image"
    channels: int
    loss: Literal["mse", "mae"] = "mse"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.channels >= 1, self.place("channels"), self.channels, "must be at least 1")


@dataclass(frozen=True, kw_only=True)
class HogConfig(TaskConfig):
    """The picture's histogram of oriented gradients, as an auxiliary task (paper 002): every picture teaches it.

    The released code's sizes: (orientations, cell) of (9, 8), (6, 8), (4, 8), (9, 16) and (6, 16) give 3780, 2520,
    1680, 756 and 504 values.

    Attributes:
        orientations: bins of half a turn.
        cell: pixels along each axis of a cell; 2 x 2 cells are a block.
        window: (H, W) that pictures are resized to first.
        zero_target: learn zeros instead: what the released code trains, whose cast to integers turns every value
            into 0. The control that tells the descriptor's worth from that of a head with a squared loss.
    """

    kind: ClassVar[str] = "hog"
    auxiliary: ClassVar[bool] = True

    target: str = "image"
    orientations: int = 6
    cell: int = 16
    window: tuple[int, int] = (128, 64)
    zero_target: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.orientations >= 1, self.place("orientations"), self.orientations, "must be at least 1")
        require(self.cell >= 1, self.place("cell"), self.cell, "must be at least 1")
        require(
            min(self.window) >= 2 * self.cell,
            self.place("window"),
            self.window,
            f"must hold a block of 2 x 2 cells, {2 * self.cell} pixels along each axis",
        )


@dataclass(frozen=True, kw_only=True)
class DomainConfig(TaskConfig):
    """Where an image was made (centre or vendor), learned against the network: its gradient is reversed where it
    enters the encoder, so that features say little of the domain (Ganin et al. 2016; proposed in paper 003, 4).

    Attributes:
        domains: names of the centres; images from elsewhere do not count.
        strength: what the gradient is multiplied by, reversed.
        ramp: raise the strength from 0 over the budget as 2 / (1 + exp(-10 progress)) - 1 (Ganin et al., 5.2.2).
    """

    kind: ClassVar[str] = "domain"
    auxiliary: ClassVar[bool] = True

    target: str = "center"
    domains: tuple[str, ...]
    strength: float = 1.0
    ramp: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(set(self.domains)) == len(self.domains) >= 2,
            self.place("domains"),
            self.domains,
            "name at least two different centres",
        )
        require(0 <= self.strength < math.inf, self.place("strength"), self.strength, "must be finite and at least 0")


AnyTaskConfig = (
    SegmentationConfig
    | SurvivalConfig
    | ClassificationConfig
    | MultilabelConfig
    | OrdinalConfig
    | RegressionConfig
    | ReconstructionConfig
    | HogConfig
    | DomainConfig
)


def _require_weights(task: TaskConfig, weights: tuple[float, ...], count: int, name: str = "class_weights") -> None:
    require(len(weights) in (0, count), task.place(name), weights, f"give none or {count} weights")
    require(
        all(0 <= weight < math.inf for weight in weights), task.place(name), weights, "must be finite and at least 0"
    )
