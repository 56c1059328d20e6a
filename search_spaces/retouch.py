"""RETOUCH: three fluids in slices of OCT volumes, and which of them a slice shows.

Folds keep volumes together; the split of Bui et al. 2024 (``--scheme paper``) does not. With more than one vendor,
telling them apart against the network (gradient reversal) is an auxiliary task.
"""

from __future__ import annotations

from branchpoint.config import AnyTaskConfig, DatasetConfig, DomainConfig, MultilabelConfig, SegmentationConfig
from branchpoint.datasets.readers.retouch import FLUIDS, VENDORS
from branchpoint.search.space.images_2d import PictureSpace


def tasks(dataset: DatasetConfig) -> tuple[AnyTaskConfig, ...]:
    """Fluid masks (1 IRF, 2 SRF, 3 PED), the presence of each, and the vendor where there are several."""
    found: tuple[AnyTaskConfig, ...] = (
        SegmentationConfig(
            name="fluids", target="fluids", foreground_classes=len(FLUIDS), loss="dice_ce", prior_bias=True
        ),
        MultilabelConfig(name="presence", target="fluids_present", labels=len(FLUIDS)),
    )
    return found if dataset.release in VENDORS else (*found, DomainConfig(name="vendor", domains=VENDORS))


SPACE = PictureSpace(tasks=tasks, channels=1, encoder="resformer_parallel")
base, space, published, starting_points = SPACE.base, SPACE.space, SPACE.published, SPACE.starting_points
