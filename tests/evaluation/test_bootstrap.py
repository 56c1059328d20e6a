"""Bootstrap intervals against closed forms, coverage and speed; paired differences."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from branchpoint.config import SegmentationConfig, SurvivalConfig
from branchpoint.evaluation.bootstrap import intervals, paired_differences, resample_counts
from branchpoint.tasks import build_task

SEGMENTATION = build_task(SegmentationConfig(name="tumour", target="tumour"))
SURVIVAL = build_task(SurvivalConfig(name="survival", target="survival"))


def dice_summary(dice: np.ndarray) -> dict[str, np.ndarray]:
    """Patients with these Dice scores: prediction and truth of a million voxels each."""
    size = np.full((len(dice), 1), 1_000_000)
    overlap = np.round(dice[:, None] * size).astype(np.int64)
    labelled = np.ones(len(dice), dtype=bool)
    return {"overlap": overlap, "predicted": size, "truth": size, "labelled": labelled, "index": np.arange(len(dice))}


def survival_summary(n: int, seed: int = 0, noise: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    log_hazard = risk + noise * rng.normal(size=n)
    died, censored = rng.exponential(np.exp(-risk)), rng.exponential(1.0, n)
    return {
        "log_hazard": log_hazard,
        "time_days": np.minimum(died, censored),
        "event": died < censored,
        "labelled": np.ones(n, dtype=bool),
        "index": np.arange(n),
    }


def test_counts_are_draws_with_replacement() -> None:
    counts = resample_counts(50, 4000, seed=3)
    assert (counts.sum(1) == 50).all()
    np.testing.assert_allclose(counts.mean(0), 1, atol=0.1)
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
    assert np.array_equal(counts, resample_counts(50, 4000, seed=3))
    assert not np.array_equal(counts, resample_counts(50, 4000, seed=4))


def test_interval_of_a_mean_is_the_normal_one() -> None:
    dice = np.random.default_rng(0).uniform(0.2, 0.9, 100)
    found = intervals(SEGMENTATION, dice_summary(dice), resamples=4000)["dice"]
    half = 1.96 * dice.std() / 10
    assert found.value == pytest.approx(dice.mean(), abs=1e-6)
    assert found.low == pytest.approx(dice.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(dice.mean() + half, abs=0.1 * half)
    assert found.n == 100
    ninety = intervals(SEGMENTATION, dice_summary(dice), resamples=4000, level=0.9)["dice"]
    assert (ninety.high - ninety.low) / (found.high - found.low) == pytest.approx(1.645 / 1.96, abs=0.03)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        found = intervals(SEGMENTATION, dice_summary(rng.beta(4, 2, 60)), resamples=300)["dice"]
        hits += found.low <= 4 / 6 <= found.high
    assert 0.9 <= hits / 200 <= 0.985


def test_c_index_intervals_cover_the_truth() -> None:
    truth = SURVIVAL.metrics(survival_summary(3000, seed=99))["c_index"]
    hits = 0
    for seed in range(150):
        found = intervals(SURVIVAL, survival_summary(80, seed), resamples=200)["c_index"]
        hits += found.low <= truth <= found.high
    assert 0.9 <= hits / 150 <= 0.99


@pytest.mark.parametrize("n", [60, 200])
def test_a_thousand_c_index_resamples_are_fast(n: int) -> None:
    intervals(SURVIVAL, survival_summary(5), resamples=1)  # scikit-survival loads
    start = time.perf_counter()
    found = intervals(SURVIVAL, survival_summary(n), resamples=1000)["c_index"]
    assert time.perf_counter() - start < 2
    assert found.low < found.value < found.high


def test_unlabelled_patients_do_not_count() -> None:
    summary = dice_summary(np.array([0.5, 0.7, 0.9, 0.1]))
    summary["labelled"][3] = False
    assert intervals(SEGMENTATION, summary)["dice"].n == 3
    assert intervals(SEGMENTATION, summary)["dice"].low >= 0.5


def test_counts_of_the_cohort_have_no_interval() -> None:
    found = intervals(SURVIVAL, survival_summary(30))["n_events"]
    assert found.low == found.value == found.high


def test_undefined_metrics_have_no_interval() -> None:
    summary = survival_summary(20)
    summary["event"][:] = False
    found = intervals(SURVIVAL, summary)["c_index"]
    assert all(math.isnan(value) for value in (found.value, found.low, found.high))
    nobody = {name: values[:0] for name, values in survival_summary(3).items()}
    assert math.isnan(intervals(SURVIVAL, nobody)["c_index"].low)


def test_resamples_without_events_are_left_out() -> None:
    """With one event 37 % of the resamples hold none; the others give the interval."""
    summary = survival_summary(12)
    summary["event"][:] = False
    summary["event"][np.argmin(summary["time_days"])] = True
    found = intervals(SURVIVAL, summary)["c_index"]
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_paired_difference_of_a_model_with_itself_is_zero() -> None:
    found = paired_differences(SURVIVAL, survival_summary(40), survival_summary(40))
    assert set(found) == {"c_index"}
    assert (found["c_index"].value, found["c_index"].low, found["c_index"].high) == (0, 0, 0)


def test_paired_difference_sees_a_constant_gain_that_single_intervals_hide() -> None:
    dice = np.random.default_rng(0).uniform(0.1, 0.8, 40)
    better, worse = dice_summary(dice + 0.05), dice_summary(dice)
    found = paired_differences(SEGMENTATION, better, worse)["dice"]
    assert (found.value, found.low, found.high) == pytest.approx((0.05, 0.05, 0.05), abs=1e-5)
    assert intervals(SEGMENTATION, better)["dice"].low < intervals(SEGMENTATION, worse)["dice"].high


def test_paired_difference_needs_the_same_patients() -> None:
    first, second = survival_summary(10), survival_summary(10)
    second["index"] = second["index"][::-1]
    with pytest.raises(ValueError, match="'survival' differ in 'index'"):
        paired_differences(SURVIVAL, first, second)
    with pytest.raises(ValueError, match="'fold'"):
        paired_differences(SURVIVAL, {**first, "fold": np.zeros(10)}, first)


@pytest.mark.parametrize(("level", "resamples", "said"), [(1.0, 100, "level is 1.0"), (0.9, 0, "resamples is 0")])
def test_wrong_settings_are_named(level: float, resamples: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        intervals(SURVIVAL, survival_summary(10), level=level, resamples=resamples)
