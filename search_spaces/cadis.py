"""CaDIS: frames of cataract operations in 8, 17 and 25 classes, with HOG as an auxiliary task (Bhattarai et al. 2022).

The challenge's three tasks are the same frames at three levels of detail, so it is an open question how far a network
can serve all of them. The official parts share no video.
"""

from __future__ import annotations

from branchpoint.config import AnyTaskConfig, DatasetConfig, HogConfig, SegmentationConfig
from branchpoint.datasets.readers.cadis import CLASS_NAMES
from branchpoint.search.space.images_2d import PictureSpace


def tasks(dataset: DatasetConfig) -> tuple[AnyTaskConfig, ...]:
    """The challenge's tasks 2, 1 and 3 (there is no background: class 0 is the pupil), and HOG."""
    dense = (
        SegmentationConfig(
            name=name,
            target=name,
            foreground_classes=len(CLASS_NAMES[name]) - 1,
            background=False,
            loss="ce",
            metric="miou",
            prior_bias=True,
        )
        for name in ("task_2", "task_1", "task_3")
    )
    return (*dense, HogConfig(name="hog"))


SPACE = PictureSpace(tasks=tasks, channels=3, encoder="u2net", scheme="official")
base, space, published, starting_points = SPACE.base, SPACE.space, SPACE.published, SPACE.starting_points
