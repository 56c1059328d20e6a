"""EndoVis 2017: robotic instruments, their parts and types, with HOG as an auxiliary task (Bhattarai et al. 2022).

Folds keep videos together. The challenge's own test frames (``--scheme official``) go on where training videos end;
the paper's (``--scheme paper``) are of two other videos.
"""

from __future__ import annotations

from branchpoint.config import AnyTaskConfig, DatasetConfig, HogConfig, MultilabelConfig, SegmentationConfig
from branchpoint.datasets.readers.endovis2017 import PARTS, TYPES
from branchpoint.search.space.images_2d import PictureSpace


def tasks(dataset: DatasetConfig) -> tuple[AnyTaskConfig, ...]:
    """Instruments, parts and types, each as a mask; which types are there; and HOG."""
    return (
        SegmentationConfig(name="binary", target="binary", loss="dice_ce", prior_bias=True, metric="miou"),
        SegmentationConfig(
            name="parts", target="parts", foreground_classes=len(PARTS), loss="ce", prior_bias=True, metric="miou"
        ),
        SegmentationConfig(
            name="type", target="type", foreground_classes=len(TYPES), loss="ce", prior_bias=True, metric="miou"
        ),
        MultilabelConfig(name="types_present", target="types_present", labels=len(TYPES)),
        HogConfig(name="hog"),
    )


SPACE = PictureSpace(tasks=tasks, channels=3, encoder="u2net")
base, space, published, starting_points = SPACE.base, SPACE.space, SPACE.published, SPACE.starting_points
