"""What passes between the branches of a network besides shared weights: cascades and exchanges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from branchpoint.values import Checked, Length, Range

Content = Literal["logits", "probabilities", "features", "masked_features", "measurements"]
TaskName = Annotated[str, Length(at_least=1, at_most=200)]
Stage = Annotated[int, Range(at_least=0)]
Unit = Literal["cross_stitch", "nddr", "concatenation", "attention"]


@dataclass(frozen=True, kw_only=True)
class Cascade(Checked):
    """The output of one task is input to another.

    Attributes:
        source: task whose output is passed on.
        target: task that receives it.
        carries: ``logits``; ``probabilities``; ``features`` (of the source's last stage); ``masked_features``
            (the target's own features, pooled inside the source's predicted mask); ``measurements`` (volume, SUV
            maximum and mean, total lesion glycolysis and heterogeneity of the predicted mask, in physical units).
        stage: stage of the target that receives it beside its usual input; ``None`` for its head. Masked features
            and measurements are numbers, so they go to the head of an image-level task.
        gradient: whether the target's loss also trains the source.
    """

    section = "cascade"

    source: TaskName
    target: TaskName
    carries: Content
    stage: Stage | None = None
    gradient: bool = True


@dataclass(frozen=True, kw_only=True)
class Exchange(Checked):
    """Features pass between two branches after a stage that both have.

    Attributes:
        stage: the stage after which they pass.
        source: task whose branch gives.
        target: task whose branch receives.
        unit: ``cross_stitch`` (Misra et al. 2016: learned sum for each channel), ``nddr`` (Gao et al. 2019: 1x1
            convolution of both), ``concatenation`` (joins the input of the target's next stage) or ``attention``
            (the target adds what a gate lets through).
        both_ways: the source receives from the target alike.
    """

    section = "exchange"

    stage: Stage
    source: TaskName
    target: TaskName
    unit: Unit
    both_ways: bool = True

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """(giver, taker) of each way."""
        one = (self.source, self.target)
        return (one, one[::-1]) if self.both_ways else (one,)
