"""What a study reports beyond the metrics that rank configurations."""

from __future__ import annotations

import numpy as np
import pytest
from sksurv.metrics import cumulative_dynamic_auc
from sksurv.util import Surv

from branchpoint.config import ClassificationConfig, SegmentationConfig, SurvivalConfig
from branchpoint.evaluation.bootstrap import intervals, paired_differences
from branchpoint.evaluation.evaluation import pool
from branchpoint.evaluation.reported import HORIZON_DAYS, WEIGHTED, ReportedSurvival, reported_task
from branchpoint.tasks import build_task
from tests.evaluation.cox_cohort import cox_cohort, true_survival

SURVIVAL = SurvivalConfig(name="survival", target="survival")
FURTHER = {*WEIGHTED, "d_calibration_p", "one_calibration_p_2y"}


def folds(count: int = 600, noise: float = 0.0, unlabelled: int = 0) -> dict[str, np.ndarray]:
    """Pooled over four folds, whose networks have scales of their own."""
    log_hazard, time, event = cox_cohort(count)
    score = log_hazard + noise * np.random.default_rng(9).normal(size=count)
    parts = []
    for k in range(4):
        rows = np.arange(k, count, 4)
        labelled = np.ones(len(rows), bool)
        labelled[: unlabelled // 4] = False
        parts.append(
            {
                "log_hazard": (k + 1) * score[rows] + 10 * k,
                "time_days": time[rows],
                "event": event[rows],
                "labelled": labelled,
                "index": rows,
            }
        )
    return pool(parts)


def test_survival_reports_what_the_simulation_says() -> None:
    summary = folds()
    task = reported_task(SURVIVAL)
    assert isinstance(task, ReportedSurvival)
    found = task.metrics(summary)
    assert set(found) == FURTHER | set(build_task(SURVIVAL).metrics(summary))
    log_hazard, time, event = cox_cohort(600)
    outcome = Surv.from_arrays(event, time)
    expected = cumulative_dynamic_auc(outcome, outcome, log_hazard, [HORIZON_DAYS])[0][0]
    assert found["auc_2y"] == pytest.approx(expected, abs=0.02)
    true = true_survival(log_hazard, np.full(600, HORIZON_DAYS))
    assert found["brier_2y"] == pytest.approx((true * (1 - true)).mean(), abs=0.025)
    assert found["calibration_slope_2y"] == pytest.approx(1, abs=0.12)
    assert min(found["d_calibration_p"], found["one_calibration_p_2y"]) > 0.01


def test_a_worse_score_has_a_larger_brier_score_and_chance_that_of_kaplan_meier() -> None:
    task = reported_task(SURVIVAL)
    good, poor, nothing = (task.metrics(folds(noise=noise)) for noise in (0.0, 1.0, 1e6))
    assert good["ibs"] < poor["ibs"] < nothing["ibs"] < 0.25
    constant = folds()
    flat = task.metrics({**constant, "log_hazard": np.zeros(600)})
    assert flat["ibs"] == pytest.approx(nothing["ibs"], abs=0.005)
    assert flat["auc_2y"] == flat["uno_c"] == 0.5
    # Breslow's and Kaplan-Meier's estimators differ by little.
    assert flat["ibs"] == pytest.approx(flat["ibs_kaplan_meier"], abs=1e-3)
    assert flat["ipa_2y"] == pytest.approx(0, abs=0.01)
    assert good["ipa_2y"] > 0.25


def test_resamples_agree_with_the_value_and_intervals_follow() -> None:
    task, summary = reported_task(SURVIVAL), folds(unlabelled=40)
    once = task.resampled(summary, np.ones((1, 600), int))
    whole = task.metrics(summary)
    for name, values in once.items():
        assert values[0] == pytest.approx(whole[name]), name
    found = intervals(task, summary, resamples=200)
    assert found["ibs"].low < found["ibs"].value < found["ibs"].high
    assert found["ibs"].n == 560
    better = paired_differences(task, folds(), folds(noise=1.0), resamples=200)
    assert better["ibs"].high < 0 < better["uno_c"].low


def test_one_fold_gives_the_plain_metrics_alone_and_few_events_nan() -> None:
    task, summary = reported_task(SURVIVAL), folds()
    alone = {name: values for name, values in summary.items() if name != "fold"}
    few = {**summary, "event": summary["event"] & (np.cumsum(summary["event"]) < 10)}
    diverged = {**summary, "log_hazard": np.full(600, np.nan)}
    assert set(task.metrics(alone)) == set(build_task(SURVIVAL).metrics(alone))
    assert set(task.resampled(alone, np.ones((1, 600), int))) == {"c_index"}
    for each in (few, diverged):
        found = task.metrics(each)
        assert np.isnan([found[name] for name in FURTHER]).all()
        assert np.isnan([task.resampled(each, np.ones((1, 600), int))[name][0] for name in WEIGHTED]).all()


def test_short_follow_up_is_nan_beyond_its_support() -> None:
    summary = folds()
    short = {
        **summary,
        "event": summary["event"] & (summary["time_days"] <= 500),
        "time_days": np.minimum(summary["time_days"], 500),
    }
    found = reported_task(SURVIVAL).metrics(short)
    assert np.isfinite(found["ibs"])
    assert np.isnan([found[name] for name in FURTHER if name.endswith("_2y")]).all()


def test_all_events_before_the_horizon_leave_nothing_to_score_there() -> None:
    """Nobody is at risk at two years: a predicted survival of 0 would have a Brier score of 0, by nobody's merit."""
    summary = folds()
    early = {
        **summary,
        "event": np.ones(600, bool),
        "time_days": 700 * summary["time_days"] / summary["time_days"].max(),
    }
    found = reported_task(SURVIVAL).metrics(early)
    assert np.isfinite(found["ibs"])
    assert np.isnan([found[name] for name in FURTHER if name.endswith("_2y")]).all()


def test_classification_reports_calibration_and_other_kinds_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    risk = rng.random(200)
    label = (rng.random(200) < risk).astype(int)
    summary = {
        "probability": np.stack([1 - risk, risk], 1),
        "label": label,
        "labelled": np.arange(200) >= 10,
        "index": np.arange(200),
    }
    task = reported_task(ClassificationConfig(name="grade", target="grade", classes=2))
    found = intervals(task, summary, resamples=100)
    assert {"brier", "ece", "pr_auc"} <= set(found)
    assert "brier_calibrated" not in found
    chosen = {**summary, "calibrated": summary["probability"], "threshold": np.full(200, 0.8)}
    more = intervals(task, chosen, resamples=100)
    assert more["brier_calibrated"] == more["brier"]
    assert more["specificity_reached"].value > more["sensitivity_at_specificity_90"].value
    segmentation = SegmentationConfig(name="tumour", target="tumour")
    assert type(reported_task(segmentation)) is type(build_task(segmentation))
