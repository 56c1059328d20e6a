"""Bootstrap intervals against closed forms, coverage and speed; paired differences."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from branchpoint.config import RegressionConfig, SegmentationConfig, SurvivalConfig
from branchpoint.evaluation.bootstrap import Resampling, intervals, paired_differences, resample_counts
from branchpoint.tasks import build_task

SEGMENTATION = build_task(SegmentationConfig(name="tumour", target="tumour"))
SIZE = build_task(RegressionConfig(name="size", target="size"))
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
    half = stats.t.ppf(0.975, 99) * dice.std(ddof=1) / 10
    assert found.value == pytest.approx(dice.mean(), abs=1e-6)
    assert found.low == pytest.approx(dice.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(dice.mean() + half, abs=0.1 * half)
    assert found.n == 100
    ninety = intervals(SEGMENTATION, dice_summary(dice), resamples=4000, level=0.9)["dice"]
    assert (ninety.high - ninety.low) / (found.high - found.low) == pytest.approx(1.645 / 1.96, abs=0.03)


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
    assert intervals(SEGMENTATION, summary)["dice"].value == pytest.approx(0.7)


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


def run(seed: int, error: float, count: int = 60) -> dict[str, np.ndarray]:
    """Predictions that are off by ``error`` times the same noise in every run, and a little of their own."""
    value = np.random.default_rng(0).normal(10, 3, count)
    common = np.random.default_rng(1).normal(0, 1, count)
    own = np.random.default_rng(100 + seed).normal(0, 0.05, count)
    return {
        "prediction": value + error * common + own,
        "value": value,
        "labelled": np.arange(count) % 5 != 0,
        "index": np.arange(count),
    }


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = intervals(SIZE, [run(seed, 1.0) for seed in range(5)])["mae"]
    apart = intervals(SIZE, [run(seed, 0.2 + 0.4 * seed) for seed in range(5)])["mae"]
    assert alike.value == pytest.approx(apart.value, rel=0.05)
    assert apart.high - apart.low > 2 * (alike.high - alike.low)
    assert alike.resampled == "5 seeds x 48 samples"


def test_the_error_of_a_mean_over_seeds_adds_both_variances() -> None:
    runs = [run(seed, 0.2 + 0.4 * seed) for seed in range(4)]
    values = np.stack([np.abs(each["prediction"] - each["value"])[each["labelled"]] for each in runs])
    over_seeds, over_samples = values.mean(1).var(ddof=1) / 4, values.mean(0).var(ddof=1) / 48
    found = intervals(SIZE, runs, resamples=4000)["mae"]
    assert found.error == pytest.approx(math.sqrt(over_seeds + over_samples), rel=0.05)


def test_pairs_are_told_apart_although_their_intervals_overlap() -> None:
    worse, better = [run(seed, 1.0) for seed in range(5)], [run(seed, 0.9) for seed in range(5)]
    ours, theirs = intervals(SIZE, better)["mae"], intervals(SIZE, worse)["mae"]
    assert ours.high > theirs.low
    found = paired_differences(SIZE, better, worse)["mae"]
    assert found.high < 0
    assert found.p < 0.01
    assert found.value == pytest.approx(ours.value - theirs.value)


def test_the_p_value_says_what_the_interval_says() -> None:
    """The interval of level 1 - p ends at zero."""
    pair = [run(seed, 1.0) for seed in range(3)], [run(seed, 0.97) for seed in range(50, 53)]
    found = paired_differences(SIZE, *pair)["mae"]
    assert 0 < found.p < 1
    narrow = paired_differences(SIZE, *pair, level=1 - found.p)["mae"]
    assert min(abs(narrow.low), abs(narrow.high)) == pytest.approx(0, abs=1e-9)


def test_a_method_without_seeds_stands_against_every_seed() -> None:
    runs, fixed = [run(seed, 1.0) for seed in range(3)], run(9, 0.5)
    found = paired_differences(SIZE, runs, fixed)["mae"]
    expected = paired_differences(SIZE, runs, [fixed] * 3)["mae"]
    assert found == expected
    assert found.p < 0.05


def test_no_difference_has_no_small_p() -> None:
    same = [run(seed, 1.0) for seed in range(3)]
    assert paired_differences(SIZE, same, same)["mae"].p == 1.0


def test_runs_of_other_seeds_or_samples_are_no_pair() -> None:
    with pytest.raises(ValueError, match="2 runs and 3 of task 'size' cannot be paired by seed"):
        paired_differences(SIZE, [run(0, 1.0)] * 2, [run(0, 1.0)] * 3)
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_differences(SIZE, [run(0, 1.0)], [])


def test_groups_are_drawn_whole_and_fewer_than_four_are_not() -> None:
    volumes = Resampling.of([f"volume {i // 6}" for i in range(60)])
    counts = volumes.counts(200)
    assert (counts.reshape(200, 10, 6) == counts.reshape(200, 10, 6)[:, :, :1]).all()
    assert (counts.sum(1) == 60).all(), "ten volumes of six"
    assert volumes.text == "10 groups (60 samples)"
    few = Resampling.of([f"video {i // 20}" for i in range(60)])
    assert few.count == 60
    assert few.text == "60 samples of 3 groups (too few to resample: holds for these only)"
    assert Resampling.of([None, None, "None", "None", "0", "0"]).count == 4, "a group may be named anything"


def test_groups_of_the_cohort_are_found_by_index() -> None:
    """Values differ between groups alone: the standard error is that of the mean over ten groups."""
    summary = run(0, 1.0, 60) | {"index": np.arange(60)[::-1], "labelled": np.ones(60, bool)}
    groups: list[str | None] = [f"volume {i // 6}" for i in range(60)]
    values = np.random.default_rng(5).uniform(size=10)
    summary["prediction"] = summary["value"] + values[summary["index"] // 6]
    found = intervals(SIZE, summary, groups=groups, resamples=4000)["mae"]
    assert found.error == pytest.approx(values.std(ddof=1) / math.sqrt(10), rel=0.05)
    alone = intervals(SIZE, summary, resamples=4000)["mae"]
    assert found.error / alone.error == pytest.approx(math.sqrt(6), rel=0.1)


def test_shares_end_at_zero_and_one() -> None:
    found = intervals(SEGMENTATION, dice_summary(np.array([1.0, 1.0, 1.0, 0.1])))["dice"]
    assert found.high == 1.0
    assert 0 <= found.low < 0.5
