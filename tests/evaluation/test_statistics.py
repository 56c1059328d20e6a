"""Intervals and tests over seeds and samples, against what they must be in simple cases."""

from __future__ import annotations

import numpy as np
import pytest

from branchpoint.config import RegressionConfig
from branchpoint.evaluation.bootstrap import intervals, paired_differences
from branchpoint.evaluation.statistics import difference, draws, estimate
from branchpoint.tasks import build_task

TASK = build_task(RegressionConfig(name="size", target="size"))
ALONE: list[str | None] = [None] * 60


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


def test_one_run_has_the_interval_of_its_samples() -> None:
    found, expected = estimate(TASK, "mae", [run(0, 1.0)], ALONE), intervals(TASK, run(0, 1.0))["mae"]
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found.n == expected.n == 48
    pair = [run(0, 1.0)], [run(0, 0.8)]
    apart = difference(TASK, "mae", *pair, ALONE)
    expected = paired_differences(TASK, pair[0][0], pair[1][0])["mae"]
    assert (apart.value, apart.low, apart.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = estimate(TASK, "mae", [run(seed, 1.0) for seed in range(5)], ALONE)
    apart = estimate(TASK, "mae", [run(seed, 0.2 + 0.4 * seed) for seed in range(5)], ALONE)
    assert alike.value == pytest.approx(apart.value, rel=0.05)
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def test_pairs_are_told_apart_although_their_intervals_overlap() -> None:
    worse, better = [run(seed, 1.0) for seed in range(5)], [run(seed, 0.9) for seed in range(5)]
    ours, theirs = estimate(TASK, "mae", better, ALONE), estimate(TASK, "mae", worse, ALONE)
    assert ours.high > theirs.low
    found = difference(TASK, "mae", better, worse, ALONE)
    assert found.high < 0
    assert found.p < 0.01
    assert found.value == pytest.approx(ours.value - theirs.value)


def test_no_difference_has_no_small_p() -> None:
    same = [run(seed, 1.0) for seed in range(3)]
    assert difference(TASK, "mae", same, same, ALONE).p == 1.0
    ps = [
        difference(
            TASK,
            "mae",
            [run(s, 1.0) for s in range(k, k + 3)],
            [run(s, 1.0) for s in range(k + 50, k + 53)],
            ALONE,
            resamples=200,
        ).p
        for k in range(12)
    ]
    assert sum(p < 0.05 for p in ps) <= 3


def test_volumes_are_drawn_whole_where_there_are_enough() -> None:
    groups = [f"volume {i // 6}" for i in range(60)]
    counts = draws(60, groups, 200)
    assert (counts.reshape(200, 10, 6) == counts.reshape(200, 10, 6)[:, :, :1]).all()
    assert (counts.sum(1) == 60).all(), "ten volumes of six"
    few = draws(60, [f"video {i // 20}" for i in range(60)], 200)
    assert not (few.reshape(200, 3, 20) == few.reshape(200, 3, 20)[:, :, :1]).all()


def test_runs_of_other_samples_are_no_pair() -> None:
    moved = run(0, 1.0) | {"index": np.arange(60)[::-1]}
    with pytest.raises(ValueError, match="of different samples"):
        difference(TASK, "mae", [run(0, 1.0)], [moved], ALONE)
    with pytest.raises(ValueError, match="cannot be paired by seed"):
        difference(TASK, "mae", [run(0, 1.0)], [], ALONE)
