"""A fold's test samples have no part in the choice of the finalist that is tested on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.coverage import selection_bias
from branchpoint.config import SegmentationConfig
from branchpoint.evaluation.selection import Contender, choose_by_fold, recommend, units_needed
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary

TASK = build_task(SegmentationConfig(name="tumour", target="tumour"))
UNLEARNED = SegmentationConfig(name="node", target="node", weight=0.0)
TEST = [np.arange(0, 10), np.arange(10, 20)]
VALIDATION = [np.arange(10, 20), np.arange(0, 10)]


def outlines(index: np.ndarray, dice: np.ndarray) -> dict[str, Summary]:
    size = np.full((len(index), 1), 1000)
    overlap = np.round(dice[index][:, None] * 1000).astype(int)
    labelled = np.ones(len(index), bool)
    return {"tumour": {"overlap": overlap, "predicted": size, "truth": size, "labelled": labelled, "index": index}}


def finalist(name: str, *dice: np.ndarray, **cost: float) -> Contender:
    """With one array of Dice for each seed."""
    validation = [[outlines(index, each) for index in VALIDATION] for each in dice]
    return Contender(name=name, tasks=[TASK], validation=validation, **cost)  # type: ignore[arg-type]


def test_each_fold_chooses_by_the_samples_that_it_does_not_test() -> None:
    """A is good on the first ten, B on the others: the fold that tests the first ten may only see the others."""
    first = np.arange(20) < 10
    finalists = [finalist("A", np.where(first, 0.9, 0.2)), finalist("B", np.where(first, 0.2, 0.8))]
    assert choose_by_fold(finalists, TEST) == ["B", "A"]


def test_other_test_figures_change_nothing() -> None:
    """Whatever the first fold's test samples say, its choice stays."""
    rng = np.random.default_rng(0)
    dice = {name: rng.random(20) for name in "ABC"}
    chosen = choose_by_fold([finalist(name, values) for name, values in dice.items()], TEST)
    for values in dice.values():
        values[TEST[0]] = rng.random(10)
    again = choose_by_fold([finalist(name, values) for name, values in dice.items()], TEST)
    assert again[0] == chosen[0]


def test_samples_of_a_tested_group_choose_nothing_either() -> None:
    groups: list[str | None] = [f"G{place % 10}" for place in range(20)]
    with pytest.raises(ValueError, match="nothing to choose by"):
        choose_by_fold([finalist("A", np.full(20, 0.5))], TEST, groups=groups)


def test_missing_folds_are_named() -> None:
    whole = finalist("A", np.full(20, 0.5))
    lacking = replace(whole, validation=[whole.validation[0][:1]])
    with pytest.raises(ValueError, match="finalist A has validation predictions of 1 of 2 folds"):
        choose_by_fold([lacking], TEST)
    with pytest.raises(ValueError, match="no finalist"):
        choose_by_fold([], TEST)


def test_the_simplest_within_one_standard_error_is_recommended() -> None:
    """Dice of B is that of A and a little noise: no difference can be shown, but that to C is certain."""
    rng = np.random.default_rng(0)
    dice = rng.uniform(0.4, 0.8, 20)
    noise = rng.normal(0, 0.05, 20)
    noise += 0.005 - noise.mean()
    large = finalist("large", dice + noise, networks=2, macs=9e6)
    small = finalist("small", dice, networks=1, macs=5e6)
    wide = finalist("wide", dice + noise / 2, networks=1, macs=8e6)
    poor = finalist("poor", dice - 0.1, networks=1, macs=1e6)
    found = recommend([large, wide, small, poor])
    assert (found.best, found.chosen) == ("large", "small")
    difference, error = found.scores["large"].less(found.scores["small"])
    assert difference == pytest.approx(0.005, abs=1e-3)
    assert error == pytest.approx(noise.std(ddof=1) / 20**0.5, rel=0.15)
    needed = units_needed(difference, error, 20)
    assert f"about {needed:,} of them would show such a difference" in found.text()
    assert recommend([large, poor]).chosen == "large"
    assert "no simpler finalist is within one standard error" in recommend([large, poor]).text()


def test_a_finalist_that_left_out_a_task_is_no_answer() -> None:
    dice = np.full(20, 0.5)
    both = finalist("both", dice, macs=9.0)
    alone = replace(finalist("alone", dice + 0.2, macs=1.0), tasks=[TASK, build_task(UNLEARNED)])
    alone = replace(alone, validation=[[{**fold, "node": fold["tumour"]} for fold in alone.validation[0]]])
    both = replace(both, tasks=[TASK, build_task(replace(UNLEARNED, weight=1.0))])
    both = replace(both, validation=[[{**fold, "node": fold["tumour"]} for fold in both.validation[0]]])
    assert recommend([alone, both]).chosen == "both"
    assert recommend([alone]).chosen == "alone"


def test_seeds_are_crossed_with_samples() -> None:
    """Samples alike, seeds that differ by 0.2: half of that is the error of a mean over two seeds."""
    found = recommend([finalist("A", np.full(20, 0.5), np.full(20, 0.7))], resamples=2000)
    assert found.scores["A"].value == pytest.approx(0.6)
    assert found.scores["A"].error == pytest.approx(0.1 / 2**0.5, rel=0.1)


def test_sample_size_agrees_with_the_power_of_a_paired_t_test() -> None:
    """A paired difference of half a standard deviation: 34 by the t distribution, 32 by the normal one."""
    from scipy.stats import nct, t

    units = units_needed(0.5, 1 / 10**0.5, 10)
    assert units == 32
    power = 1 - nct.cdf(t.ppf(0.975, 33), 33, 0.5 * 34**0.5)
    assert power == pytest.approx(0.8, abs=0.02)
    assert units_needed(0.0, 0.1, 10) is None


def test_the_choice_is_without_bias_where_all_are_equally_good() -> None:
    """Chosen once for all folds the best is flattered; fold by fold it is not, within three standard errors."""
    once, error = selection_bias("once", repetitions=150)
    assert once > 3 * error
    by_fold, error = selection_bias("by fold", repetitions=150)
    assert abs(by_fold) < 3 * error
