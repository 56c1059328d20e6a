"""PH2: outline, diagnosis and the criteria that dermatologists score, from dermoscopy of melanocytic lesions.

Eight tasks, so that it is an open question which of them help each other.
"""

from __future__ import annotations

from branchpoint.config import AnyTaskConfig, ClassificationConfig, DatasetConfig, OrdinalConfig, SegmentationConfig
from branchpoint.search.space.images_2d import PictureSpace

CRITERIA = {"pigment_network": 2, "dots_globules": 3, "streaks": 2, "regression_areas": 2, "blue_whitish_veil": 2}
"""Dermoscopic criteria and their classes."""


def tasks(dataset: DatasetConfig) -> tuple[AnyTaskConfig, ...]:
    """Lesion mask, diagnosis (common nevus, atypical nevus, melanoma), asymmetry (ordinal) and five criteria."""
    return (
        SegmentationConfig(name="lesion", target="lesion", loss="dice_ce", prior_bias=True),
        ClassificationConfig(name="diagnosis", target="diagnosis", classes=3),
        OrdinalConfig(name="asymmetry", target="asymmetry", classes=3),
        *(ClassificationConfig(name=name, target=name, classes=classes) for name, classes in CRITERIA.items()),
    )


SPACE = PictureSpace(tasks=tasks, channels=3, flipped=True)
base, space, published, starting_points = SPACE.base, SPACE.space, SPACE.published, SPACE.starting_points
