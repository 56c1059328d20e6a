"""Config: JSON both ways, fingerprints, errors that name the place."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.config import (
    ClassificationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    SegmentationConfig,
    SplitConfig,
    SurvivalConfig,
)


def make_config(**changes: object) -> Config:
    base = Config(
        dataset=DatasetConfig(root="/cohort"),
        tasks=(
            SegmentationConfig(name="tumour", target="tumour"),
            SurvivalConfig(name="survival", target="survival"),
            ClassificationConfig(name="stage", target="stage", classes=3, weight=0.5),
        ),
    )
    return replace(base, **changes)


@given(
    width=st.integers(1, 64),
    taps=st.lists(st.integers(0, 4), unique=True),
    learning_rate=st.floats(1e-6, 1.0),
    fold=st.integers(0, 4),
)
def test_json_both_ways(width: int, taps: list[int], learning_rate: float, fold: int) -> None:
    config = make_config(
        network=NetworkConfig(width=width, taps=tuple({*taps, 4}) if taps else ()),
        optimizer=OptimizerConfig(learning_rate=learning_rate),
        split=SplitConfig(fold=fold),
    )
    again = Config.from_json(config.to_json())
    assert again == config
    assert again.fingerprint == config.fingerprint


def test_fingerprint_ignores_where_the_cohort_lies() -> None:
    moved = make_config(dataset=DatasetConfig(root="/elsewhere"))
    assert moved.fingerprint == make_config().fingerprint
    assert make_config(seed=1).fingerprint != make_config().fingerprint


def test_candidate_ignores_fold_and_seed_alone() -> None:
    assert make_config(seed=3, split=SplitConfig(fold=2)).candidate == make_config().candidate
    assert make_config(split=SplitConfig(seed=1)).candidate != make_config().candidate
    assert make_config(network=NetworkConfig(width=16)).candidate != make_config().candidate


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"width":8', '"width":"8"', r"network\.width is '8': must be a whole number"),
        ('"width":8', '"wdith":8', r"network: unknown field 'wdith'"),  # codespell:ignore wdith
        ('"kind":"survival"', '"kind":"surival"', r"tasks\[1\]\.kind is 'surival': choose one of 'segmentation'"),
        ('"learning_rate":0.001', '"learning_rate":-1', r"optimizer\.learning_rate is -1.0: must be positive"),
        ('"ties":"breslow"', '"ties":"exact"', r"tasks\[1\]\.ties is 'exact': choose one of 'breslow', 'efron'"),
        ('"epochs":60', '"epochs":true', r"training\.epochs is True: must be a whole number"),
    ],
)
def test_errors_name_the_place(old: str, new: str, message: str) -> None:
    text = make_config().to_json()
    assert old in text
    with pytest.raises(ValueError, match=message):
        Config.from_json(text.replace(old, new))


def test_root_must_be_absolute() -> None:
    with pytest.raises(ValueError, match=r"dataset\.root is 'data': must be an absolute path"):
        DatasetConfig(root="data")
