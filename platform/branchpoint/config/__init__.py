"""``Config`` and its parts: a whole trial as one frozen, validated value."""

from branchpoint.config.augmentation import AugmentationConfig, IntensityAugmentationConfig
from branchpoint.config.balancing import BalancingConfig, balancing_config
from branchpoint.config.config import Config
from branchpoint.config.dataset import DatasetConfig, SplitConfig
from branchpoint.config.network import NetworkConfig
from branchpoint.config.optimizer import OptimizerConfig
from branchpoint.config.tasks import (
    AnyTaskConfig,
    ClassificationConfig,
    DistanceMapConfig,
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
from branchpoint.config.training import SCORE, SemiSupervisedConfig, TrainingConfig

__all__ = [
    "SCORE",
    "AnyTaskConfig",
    "AugmentationConfig",
    "BalancingConfig",
    "ClassificationConfig",
    "Config",
    "DatasetConfig",
    "DistanceMapConfig",
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
    "balancing_config",
]
