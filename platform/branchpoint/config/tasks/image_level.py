"""Tasks with one label for each sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from branchpoint.config.tasks.base import Classes, NotNegative, TaskConfig, check_weights
from branchpoint.values import ADDED, Range, require


@dataclass(frozen=True, kw_only=True)
class SurvivalConfig(TaskConfig):
    """Time to an event, right-censored: one log-hazard per sample.

    Attributes:
        ties: how the partial likelihood treats events at the same time.
        loss: ``cox``, the partial likelihood, or ``ranking``, a smooth bound of the C-index
            (:func:`branchpoint.tasks.survival.ranking_loss`), whose output is a risk on no scale of hazards.
    """

    kind: ClassVar[str] = "survival"
    target_kinds: ClassVar[tuple[str, ...]] = ("survival",)
    compares_samples: ClassVar[bool] = True

    ties: Literal["breslow", "efron"] = "breslow"
    loss: Literal["cox", "ranking"] = field(default="cox", metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig(TaskConfig):
    """One class per sample.

    Attributes:
        classes: number of classes.
        class_weights: weights of the classes in the cross-entropy; empty: 1 each.
        balanced: classes weigh as much as they are rare among the training samples, in place of ``class_weights``.
        label_smoothing: share of the target that is spread evenly over the classes (Szegedy et al. 2016, section 7).
    """

    kind: ClassVar[str] = "classification"
    target_kinds: ClassVar[tuple[str, ...]] = ("classification",)
    predicts_probabilities: ClassVar[bool] = True

    classes: Classes = 2
    class_weights: tuple[NotNegative, ...] = ()
    balanced: bool = field(default=False, metadata=ADDED)
    label_smoothing: Annotated[float, Range(at_least=0, below=1)] = field(default=0.0, metadata=ADDED)

    def check(self) -> None:
        check_weights(self, self.class_weights, self.classes, "class_weights")
        require(
            not (self.balanced and self.class_weights),
            self.place_of("balanced"),
            self.balanced,
            "class_weights are given, too; give one of the two",
        )


@dataclass(frozen=True, kw_only=True)
class MultilabelConfig(TaskConfig):
    """Several labels per sample, each present or absent: a sigmoid and binary cross-entropy for each.

    A target of one class per sample is read as one label for each class, exactly one of them present.

    Attributes:
        labels: number of labels.
        positive_weights: for each label, the factor of its loss where the label is present; empty: 1 each.
    """

    kind: ClassVar[str] = "multilabel"
    target_kinds: ClassVar[tuple[str, ...]] = ("multilabel", "classification")

    labels: Annotated[int, Range(at_least=1, at_most=10_000)]
    positive_weights: tuple[NotNegative, ...] = ()

    def check(self) -> None:
        check_weights(self, self.positive_weights, self.labels, "positive_weights")


@dataclass(frozen=True, kw_only=True)
class OrdinalConfig(TaskConfig):
    """One of several ordered classes per sample (a grade): continuation-ratio model.

    Attributes:
        classes: number of classes.
    """

    kind: ClassVar[str] = "ordinal"
    target_kinds: ClassVar[tuple[str, ...]] = ("classification",)
    bounded_metric: ClassVar[bool] = False

    classes: Classes


@dataclass(frozen=True, kw_only=True)
class RegressionConfig(TaskConfig):
    """A number per sample.

    Attributes:
        loss: squared (``mse``) or absolute (``mae``) error, in units of ``scale``.
        center, scale: the network predicts (value - center) / scale; mean and standard deviation of the training
            samples are good choices.
    """

    kind: ClassVar[str] = "regression"
    target_kinds: ClassVar[tuple[str, ...]] = ("regression",)
    bounded_metric: ClassVar[bool] = False

    loss: Literal["mse", "mae"] = "mse"
    center: float = 0.0
    scale: Annotated[float, Range(above=0)] = 1.0
