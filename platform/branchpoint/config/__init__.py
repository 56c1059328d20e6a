"""``Config`` and its parts: a whole trial as one frozen, validated value."""

from branchpoint.config.balancing import BalancingConfig
from branchpoint.config.config import Config, DatasetConfig, NetworkConfig, SplitConfig
from branchpoint.config.tasks import (
    AnyTaskConfig,
    ClassificationConfig,
    DomainConfig,
    HogConfig,
    MultilabelConfig,
    OrdinalConfig,
    ReconstructionConfig,
    RegressionConfig,
    SegmentationConfig,
    SurvivalConfig,
    TaskConfig,
)
from branchpoint.config.training import (
    AugmentationConfig,
    IntensityAugmentationConfig,
    OptimizerConfig,
    SemiSupervisedConfig,
    TrainingConfig,
)

__all__ = [
    "AnyTaskConfig",
    "AugmentationConfig",
    "BalancingConfig",
    "ClassificationConfig",
    "Config",
    "DatasetConfig",
    "DomainConfig",
    "HogConfig",
    "IntensityAugmentationConfig",
    "MultilabelConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "OrdinalConfig",
    "ReconstructionConfig",
    "RegressionConfig",
    "SegmentationConfig",
    "SemiSupervisedConfig",
    "SplitConfig",
    "SurvivalConfig",
    "TaskConfig",
    "TrainingConfig",
]
