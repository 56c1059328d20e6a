"""The score that compares candidates."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.config import (
    AnyTaskConfig,
    HogConfig,
    OrdinalConfig,
    ReconstructionConfig,
    RegressionConfig,
    SegmentationConfig,
    SurvivalConfig,
)
from branchpoint.tasks import build_task
from branchpoint.training.validation import score

LESION = SegmentationConfig(name="lesion", target="lesion")
RATIO = RegressionConfig(name="ratio", target="ratio")
UNBOUNDED = (RATIO, HogConfig(name="hog"), ReconstructionConfig(name="image", channels=3))
NEGATIVE = (*UNBOUNDED, OrdinalConfig(name="grade", target="grade", classes=3))


@pytest.mark.parametrize(
    ("weight", "c_index", "expected"),
    [(1.0, 0.9, 0.65), (1.0, math.nan, 0.25), (1.0, 0.4, 0.25), (0.0, 0.9, 0.25)],
    ids=["both known", "undefined counts as chance", "worse than chance", "untrained counts as nothing, however lucky"],
)
def test_score_is_the_mean_of_primary_metrics_corrected_for_chance(
    weight: float, c_index: float, expected: float
) -> None:
    tasks = [
        build_task(SegmentationConfig(name="tumour", target="tumour")),
        build_task(SurvivalConfig(name="survival", target="survival", weight=weight)),
    ]
    assert score(tasks, {"tumour/dice": 0.5, "survival/c_index": c_index}) == pytest.approx(expected)


@pytest.mark.parametrize(("r2", "share"), [(1.0, 1.0), (0.5, 1 / 3), (0.0, 0.0), (-2.0, 0.0), (math.nan, 0.0)])
def test_an_explained_variance_counts_between_nothing_and_one(r2: float, share: float) -> None:
    """Perfect, half of the variance, the mean, three times its error, and what cannot be told."""
    tasks = [build_task(LESION), build_task(RATIO)]
    assert score(tasks, {"lesion/dice": 0.5, "ratio/r2": r2}) == pytest.approx((0.5 + share) / 2)


@pytest.mark.parametrize("config", NEGATIVE, ids=lambda config: config.kind)
@given(values=st.tuples(*[st.floats(-1e9, 1.0)] * 2))
def test_a_task_adds_from_0_to_1_and_more_the_better_it_is(config: AnyTaskConfig, values: tuple[float, float]) -> None:
    task = build_task(config)
    worse, better = (task.share(value) for value in sorted(values))
    assert 0 <= worse <= better <= 1


@given(r2=st.floats(-1e9, 1.0), gain=st.floats(0.01, 0.5))
def test_no_ratio_however_bad_hides_what_an_outline_gains(r2: float, gain: float) -> None:
    """A gain of Dice moves the score by its half, whatever the number beside it; untrained never pays."""
    tasks = [build_task(LESION), build_task(RATIO)]
    before, after = (score(tasks, {"lesion/dice": dice, "ratio/r2": r2}) for dice in (0.4, 0.4 + gain))
    assert after - before == pytest.approx(gain / 2)
    assert before >= 0.2


def test_importance_weighs_the_tasks() -> None:
    tasks = [
        build_task(SegmentationConfig(name="tumour", target="tumour", importance=3.0)),
        build_task(SurvivalConfig(name="survival", target="survival")),
    ]
    assert score(tasks, {"tumour/dice": 0.4, "survival/c_index": 0.9}) == pytest.approx((3 * 0.4 + 0.8) / 4)
