"""The score that compares candidates."""

from __future__ import annotations

import math

import pytest

from branchpoint.config import SegmentationConfig, SurvivalConfig
from branchpoint.tasks import build_task
from branchpoint.training.validation import score


@pytest.mark.parametrize(
    ("weight", "c_index", "expected"),
    [(1.0, 0.9, 0.7), (1.0, math.nan, 0.5), (0.0, 0.9, 0.25)],
    ids=["both known", "undefined counts as chance", "untrained counts as nothing, however lucky"],
)
def test_score_is_the_mean_of_primary_metrics(weight: float, c_index: float, expected: float) -> None:
    tasks = [
        build_task(SegmentationConfig(name="tumour", target="tumour")),
        build_task(SurvivalConfig(name="survival", target="survival", weight=weight)),
    ]
    assert score(tasks, {"tumour/dice": 0.5, "survival/c_index": c_index}) == pytest.approx(expected)
