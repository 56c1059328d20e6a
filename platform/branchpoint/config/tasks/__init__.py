"""Task configurations: what a network can learn, one class for each kind. Standard library only."""

from branchpoint.config.tasks.auxiliary import DomainConfig, HogConfig, ReconstructionConfig
from branchpoint.config.tasks.base import Reversal, TaskConfig, config_of
from branchpoint.config.tasks.dense import DistanceMapConfig, SegmentationConfig
from branchpoint.config.tasks.image_level import (
    ClassificationConfig,
    MultilabelConfig,
    OrdinalConfig,
    RegressionConfig,
    SurvivalConfig,
)

TASK_CONFIGS: dict[str, type[TaskConfig]] = {
    config.kind: config
    for config in (
        SegmentationConfig,
        DistanceMapConfig,
        SurvivalConfig,
        ClassificationConfig,
        MultilabelConfig,
        OrdinalConfig,
        RegressionConfig,
        ReconstructionConfig,
        HogConfig,
        DomainConfig,
    )
}
"""Kind of task to the class of its Config; the entry points ``branchpoint.tasks`` of other packages add theirs."""

AnyTaskConfig = TaskConfig

__all__ = [
    "TASK_CONFIGS",
    "AnyTaskConfig",
    "ClassificationConfig",
    "DistanceMapConfig",
    "DomainConfig",
    "HogConfig",
    "MultilabelConfig",
    "OrdinalConfig",
    "ReconstructionConfig",
    "RegressionConfig",
    "Reversal",
    "SegmentationConfig",
    "SurvivalConfig",
    "TaskConfig",
    "config_of",
]
