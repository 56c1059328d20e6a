"""Survival results: their range over the networks, and risks that order nobody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from branchpoint.deploy.bundle.reference import survival_at
from branchpoint.deploy.bundle.tasks import TaskInfo
from branchpoint.deploy.prediction.pictures import kaplan_meier_svg
from branchpoint.deploy.prediction.regions import MOST, regions
from branchpoint.deploy.prediction.results import NOT_ORDERED, not_ordered, survival_result


def reference(coefficient: float) -> dict[str, Any]:
    networks = {
        name: {"mean": mean, "sd": sd, "log_hazards": sorted(mean + sd * step for step in (-1, -0.5, 0, 0.5, 1))}
        for name, mean, sd in (("fold0", -0.2, 1.3), ("fold1", 3.0, 3.9))
    }
    calibrator = {
        "coefficient": coefficient,
        "times_days": [200.0, 800.0, 1200.0],
        "cumulative_hazard": [0.1, 0.3, 0.5],
    }
    return {"networks": networks, "median_z": 0.0, "calibrator": calibrator}


TASK = TaskInfo(name="survival", kind="survival", target="survival", weight=1.0, meaning="death")


def test_probabilities_are_means_over_the_networks_with_their_range() -> None:
    found = survival_result(TASK, {"fold0": 1.1, "fold1": 3.0}, reference(0.7))
    calibrator = reference(0.7)["calibrator"]
    high, low = (survival_at(calibrator, [z], 365.25) for z in (0.0, 1.0))
    year = found["survival"]["1 year"]
    assert high is not None
    assert low is not None
    assert (year["low"], year["high"]) == pytest.approx((low, high))
    assert year["value"] == pytest.approx((low + high) / 2)
    assert found["survival"]["5 years"]["value"] is None, "beyond the last follow-up"
    alone = survival_result(TASK, {"fold0": 1.1}, reference(0.7))["survival"]["1 year"]
    assert alone["low"] is alone["high"] is None


def test_risks_that_order_nobody_have_no_probabilities() -> None:
    found = survival_result(TASK, {"fold0": 1.1, "fold1": 3.0}, reference(-0.2))
    assert {one["reason"] for one in found["survival"].values()} == {NOT_ORDERED}
    assert not_ordered(reference(-0.2))
    assert not not_ordered(reference(0.2))
    assert not not_ordered(None)
    assert not not_ordered({"calibrator": {"reason": "too few events"}})


def test_dots_of_the_patient_lie_on_the_curve_of_equal_probability() -> None:
    curve = {"times_days": [365.25, 731.0], "survival": [0.5, 0.25], "at_risk": [4, 2]}
    svg = kaplan_meier_svg({"low": curve}, "low risk", [(365.25, 0.5), (5000.0, 0.1)])
    assert svg.count("<circle") == 1, "none beyond the last follow-up"
    x, y = (svg.split(f'{name}="')[1].split('"')[0] for name in ("cx", "cy"))
    assert f"{x},{y}" in svg.split('points="')[1].split('"')[0].split()


def test_boxes_hold_each_region_once_the_largest_first() -> None:
    mask = np.zeros((6, 7, 8), bool)
    mask[1:3, 2:4, 2:4] = True  # 8 voxels
    mask[3, 4, 4] = True  # touches at a corner: the same region
    mask[5, 0, 0:2] = True
    first, second = regions(mask, voxel_ml=0.5)
    assert first == {"low": [1, 2, 2], "high": [4, 5, 5], "voxels": 9, "volume_ml": 4.5}
    assert second == {"low": [5, 0, 0], "high": [6, 1, 2], "voxels": 2, "volume_ml": 1.0}
    assert regions(np.zeros((4, 4), bool)) == []
    assert len(regions(np.indices((30, 30)).sum(0) % 2 * (np.indices((30, 30))[0] % 2) > 0)) == MOST, "of 225 points"
