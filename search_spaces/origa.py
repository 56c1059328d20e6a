"""ORIGA: optic disc and cup, their vertical ratio, and whether the eye has glaucoma, from pictures of the fundus."""

from __future__ import annotations

from branchpoint.config import (
    AnyTaskConfig,
    ClassificationConfig,
    DatasetConfig,
    RegressionConfig,
    SegmentationConfig,
)
from branchpoint.search.space.images_2d import PictureSpace


def tasks(dataset: DatasetConfig) -> tuple[AnyTaskConfig, ...]:
    """Rim and cup, glaucoma, and the vertical cup-to-disc ratio, centred and scaled to its usual range."""
    return (
        SegmentationConfig(name="disc_cup", target="disc_cup", foreground_classes=2, loss="dice_ce", prior_bias=True),
        ClassificationConfig(name="glaucoma", target="glaucoma", classes=2),
        RegressionConfig(name="cup_to_disc_ratio", target="cup_to_disc_ratio", center=0.6, scale=0.1),
    )


SPACE = PictureSpace(tasks=tasks, channels=3, measured=True)
base, space, published, starting_points = SPACE.base, SPACE.space, SPACE.published, SPACE.starting_points
