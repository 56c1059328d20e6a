"""Tasks that predict a mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from branchpoint.config.tasks.base import NotNegative, TaskConfig, check_weights
from branchpoint.values import ADDED, Range, require

MaskLoss = Literal["dice", "ce", "focal", "dice_focal", "dice_ce", "tversky", "tversky_ce"]
"""Losses of masks; :func:`branchpoint.tasks.segmentation_losses.segmentation_loss` defines them."""


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(TaskConfig):
    """One mask per sample. One foreground class: a sigmoid channel; more: softmax over background and classes.

    Attributes:
        foreground_classes: number K of classes beside class 0.
        background: class 0 is background, which Dice leaves out; else it is a class like the others (CaDIS).
        loss: ``dice`` (Andrearczyk et al. 2021), ``dice_focal`` (Iantsen et al. 2021), ``ce`` (cross-entropy),
            ``focal``, ``dice_ce``, ``tversky`` (Salehi et al. 2017; missed voxels cost more than false ones) or
            ``tversky_ce``; two names are the sum of both losses.
        class_weights: weights of classes 0 to K in the cross-entropy.
        metric: ranks configurations: ``dice`` and ``ji`` (Jaccard index) are means over images; ``miou`` is the mean
            over images of the mean over the classes in an image, class 0 among them (Bhattarai et al. 2022);
            ``miou_aggregated`` is the mean over classes of all pixels together.
        prior_bias: the head begins by predicting the classes' shares of the training masks, not an even chance (Lin et
            al. 2017, section 4.1); narrow networks may else never find small foregrounds.
    """

    kind: ClassVar[str] = "segmentation"
    dense: ClassVar[bool] = True
    target_kinds: ClassVar[tuple[str, ...]] = ("segmentation",)
    predicts_mask: ClassVar[bool] = True
    predicts_probabilities: ClassVar[bool] = True

    foreground_classes: Annotated[int, Range(at_least=1, at_most=1000)] = 1
    background: bool = True
    loss: MaskLoss = "dice"
    class_weights: tuple[NotNegative, ...] = ()
    metric: Literal["dice", "ji", "miou", "miou_aggregated"] = "dice"
    prior_bias: bool = field(default=False, metadata=ADDED)

    def check(self) -> None:
        require(
            self.background or self.foreground_classes > 1,
            self.place_of("background"),
            self.background,
            "a single sigmoid channel has a background: use foreground_classes >= 2",
        )
        check_weights(self, self.class_weights, self.foreground_classes + 1, "class_weights")
        require(
            not self.class_weights or self.loss in ("ce", "dice_ce", "tversky_ce"),
            self.place_of("class_weights"),
            self.class_weights,
            f"the loss {self.loss!r} has no weights of classes",
        )


@dataclass(frozen=True, kw_only=True)
class DistanceMapConfig(TaskConfig):
    """The signed distance to the surface of each class of a mask, positive inside: a dense regression.

    It follows from the (augmented) mask, so any cohort with masks has it.

    Attributes:
        foreground_classes: number K of classes beside class 0; each has its own map.
        limit_voxels: distances, in voxels of the prepared grid, are cut off here on both sides, and divided by it.
        loss: ``smooth_l1`` (squared below one voxel, absolute above; Girshick 2015, eq. 3), ``mse`` or ``mae``.
    """

    kind: ClassVar[str] = "distance_map"
    dense: ClassVar[bool] = True
    target_kinds: ClassVar[tuple[str, ...]] = ("segmentation",)
    bounded_metric: ClassVar[bool] = False

    foreground_classes: Annotated[int, Range(at_least=1, at_most=254)] = 1
    limit_voxels: Annotated[float, Range(at_least=1, at_most=1000)] = 10.0
    loss: Literal["smooth_l1", "mse", "mae"] = "smooth_l1"
