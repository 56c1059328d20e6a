"""ISIC 2017: outline and diagnosis of skin lesions from dermoscopy, in the challenge's own parts.

ResFormer learns both tasks in Bui et al. 2024 (224 x 224, width 64); its two forms, U-Net and U2-Net are choices of the
space. Image-level heads may see age and sex as well.
"""

from __future__ import annotations

from branchpoint.config import AnyTaskConfig, ClassificationConfig, DatasetConfig, SegmentationConfig
from branchpoint.search.space.images_2d import PictureSpace


def tasks(dataset: DatasetConfig) -> tuple[AnyTaskConfig, ...]:
    """Lesion mask; diagnosis: nevus, melanoma, seborrheic keratosis."""
    return (
        SegmentationConfig(name="lesion", target="lesion", loss="dice_ce", prior_bias=True, metric="ji"),
        ClassificationConfig(name="diagnosis", target="diagnosis", classes=3),
    )


SPACE = PictureSpace(
    tasks=tasks, channels=3, encoder="resformer_sequential", scheme="official", clinical=("age", "sex"), flipped=True
)
base, space, published, starting_points = SPACE.base, SPACE.space, SPACE.published, SPACE.starting_points
