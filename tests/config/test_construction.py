"""Every wrong value is a ValueError that names field, value and what is allowed, where the Config is made."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from branchpoint.config import (
    AugmentationConfig,
    ClassificationConfig,
    Config,
    DatasetConfig,
    DomainConfig,
    IntensityAugmentationConfig,
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SemiSupervisedConfig,
    SplitConfig,
    SurvivalConfig,
    TrainingConfig,
)
from branchpoint.config.balancing import BALANCING_CONFIGS
from branchpoint.config.tasks import TASK_CONFIGS
from branchpoint.topology import Cascade, Exchange, Topology
from branchpoint.values import Checked
from tests.config.config_strategies import required

TASK = {"name": "t", "target": "t"}
PARTS: list[type[Checked]] = [
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    AugmentationConfig,
    IntensityAugmentationConfig,
    SemiSupervisedConfig,
    TrainingConfig,
    SplitConfig,
    *TASK_CONFIGS.values(),
    *BALANCING_CONFIGS.values(),
]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainingConfig(precision="fp16"), r"training\.precision is 'fp16': choose one of 'fp32', 'bf16'"),  # type: ignore[arg-type]
        (lambda: NetworkConfig(unit="layernorm"), r"network\.unit is 'layernorm': choose one of 'senorm', "),  # type: ignore[arg-type]
        (lambda: NetworkConfig(width=8.5), r"network\.width is 8\.5: must be a whole number"),  # type: ignore[arg-type]
        (lambda: NetworkConfig(width=True), r"network\.width is True: must be a whole number"),
        (lambda: NetworkConfig(width=10**5000), r"network\.width is a value of type int that is too long to show"),
        (lambda: NetworkConfig(depth=10**6), r"network\.depth is 1000000: must lie in \[1, 10\]"),
        (lambda: NetworkConfig(taps="34"), r"network\.taps is '34': must be a list of values"),  # type: ignore[arg-type]
        (lambda: NetworkConfig(taps=(4, 4)), r"network\.taps is \(4, 4\): must not repeat a value"),
        (lambda: NetworkConfig(topology="shared"), r"network\.topology is 'shared': must be a Topology"),  # type: ignore[arg-type]
        (lambda: DatasetConfig(size_voxels=(8, 8.5)), r"dataset\.size_voxels\[1\] is 8\.5: must be a whole number"),  # type: ignore[arg-type]
        (lambda: DatasetConfig(size_voxels=(8,)), r"dataset\.size_voxels is \(8,\): must have a length from 2 to 3"),
        (lambda: DatasetConfig(spacing_mm=math.nan), r"dataset\.spacing_mm is nan: must be a finite number"),
        (lambda: DatasetConfig(spacing_mm=10**400), r"dataset\.spacing_mm is 1000.*: must be a finite number"),
        (lambda: DatasetConfig(name="\ud800"), r"dataset\.name is '\\ud800': must be Unicode"),
        (lambda: DatasetConfig(root="data"), r"dataset\.root is 'data': must be an absolute path"),
        (lambda: OptimizerConfig(betas=(0.9,)), r"optimizer\.betas is \(0\.9,\): must have 2 values"),  # type: ignore[arg-type]
        (lambda: OptimizerConfig(clip_norm=0), r"optimizer\.clip_norm is 0\.0: must be positive, or be None"),
        (lambda: OptimizerConfig(learning_rate="0.1"), r"optimizer\.learning_rate is '0\.1': must be a number"),  # type: ignore[arg-type]
        (lambda: SegmentationConfig(**TASK, loss="dicee"), r"tasks\.t\.loss is 'dicee': choose one of 'dice', "),  # type: ignore[arg-type]
        (lambda: SurvivalConfig(name="", target="t"), r"tasks\[\?\]\.name is '': must not be empty"),
        (lambda: SurvivalConfig(name=None, target="t"), r"tasks\[\?\]\.name is None: must be a text"),  # type: ignore[arg-type]
        (lambda: ClassificationConfig(**TASK, class_weights=(1, -1)), r"class_weights\[1\] is -1\.0: must be at least"),
        (
            lambda: ClassificationConfig(**TASK, class_weights=(1,)),
            r"class_weights is \(1\.0,\): give none or 2 weights",
        ),
        (lambda: DomainConfig(name="d", domains=("a", "a")), r"tasks\.d\.domains is \('a', 'a'\): must not repeat"),
        (lambda: Config(dataset=DatasetConfig(), tasks=()), r"tasks is \(\): must not be empty"),
        (lambda: Config(dataset="hecktor", tasks=()), r"dataset is 'hecktor': must be a DatasetConfig"),  # type: ignore[arg-type]
        (
            lambda: Cascade(source="a", target="b", carries="love"),
            r"cascade\.carries is 'love': choose one of 'logits'",
        ),  # type: ignore[arg-type]
        (lambda: Exchange(stage=-1, source="a", target="b", unit="nddr"), r"exchange\.stage is -1: must be at least 0"),
        (lambda: Topology(encoder=("ab",)), r"topology\.encoder\[0\] is 'ab': must be a list of values"),  # type: ignore[arg-type]
        (lambda: Topology(encoder=(((1,),),)), r"topology\.encoder\[0\]\[0\]\[0\] is 1: must be a text"),  # type: ignore[arg-type]
    ],
)
def test_wrong_values_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_no_field_takes_an_object_of_a_strange_class(part: Any) -> None:
    """Whatever its annotation, and the message begins with the field's name."""
    for field in dataclasses.fields(part):
        for wrong in (object(), b"8", [object()]):
            with pytest.raises(ValueError, match=rf"\b{field.name}\b.* is ") as caught:
                part(**(required(part) | {field.name: wrong}))
            assert len(str(caught.value)) < 600


def test_no_number_takes_a_bool() -> None:
    numbers = {"int", "float"}
    for part in PARTS:
        for field in dataclasses.fields(part):
            default = field.default
            if type(default).__name__ in numbers:
                with pytest.raises(ValueError, match=f"{field.name} is True: must be a"):
                    part(**(required(part) | {field.name: True}))
