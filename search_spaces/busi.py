"""BUSI: outline of the lesion and diagnosis (normal, benign, malignant), from ultrasound of the breast."""

from __future__ import annotations

from branchpoint.config import AnyTaskConfig, ClassificationConfig, DatasetConfig, HogConfig, SegmentationConfig
from branchpoint.search.space.images_2d import PictureSpace


def tasks(dataset: DatasetConfig) -> tuple[AnyTaskConfig, ...]:
    """Lesion mask (empty where the picture is normal), diagnosis, and HOG as an auxiliary task."""
    return (
        SegmentationConfig(name="lesion", target="lesion", loss="dice_ce", prior_bias=True),
        ClassificationConfig(name="diagnosis", target="diagnosis", classes=3),
        HogConfig(name="hog"),
    )


SPACE = PictureSpace(tasks=tasks, channels=1, measured=True)
base, space, published, starting_points = SPACE.base, SPACE.space, SPACE.published, SPACE.starting_points
