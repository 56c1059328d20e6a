"""A fold's test samples have no part in the choice of the finalist that is tested on them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage import selection_bias
from branchpoint.config import SegmentationConfig
from branchpoint.evaluation.selection import choose_by_fold
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary

TASK = build_task(SegmentationConfig(name="tumour", target="tumour"))
TEST = [np.arange(0, 10), np.arange(10, 20)]
VALIDATION = [np.arange(10, 20), np.arange(0, 10)]


def outlines(index: np.ndarray, dice: np.ndarray) -> dict[str, Summary]:
    size = np.full((len(index), 1), 1000)
    overlap = np.round(dice[index][:, None] * 1000).astype(int)
    labelled = np.ones(len(index), bool)
    return {"tumour": {"overlap": overlap, "predicted": size, "truth": size, "labelled": labelled, "index": index}}


def finalist(dice: np.ndarray) -> list[dict[str, Summary]]:
    return [outlines(index, dice) for index in VALIDATION]


def test_each_fold_chooses_by_the_samples_that_it_does_not_test() -> None:
    """A is good on the first ten, B on the others: the fold that tests the first ten may only see the others."""
    first = np.arange(20) < 10
    finalists = {"A": finalist(np.where(first, 0.9, 0.2)), "B": finalist(np.where(first, 0.2, 0.8))}
    tasks = {key: [TASK] for key in finalists}
    assert choose_by_fold(tasks, finalists, TEST) == ["B", "A"]


def test_other_test_figures_change_nothing() -> None:
    """Whatever the first fold's test samples say, its choice stays."""
    rng = np.random.default_rng(0)
    dice = {name: rng.random(20) for name in "ABC"}
    tasks = {key: [TASK] for key in dice}
    chosen = choose_by_fold(tasks, {name: finalist(values) for name, values in dice.items()}, TEST)
    for values in dice.values():
        values[TEST[0]] = rng.random(10)
    again = choose_by_fold(tasks, {name: finalist(values) for name, values in dice.items()}, TEST)
    assert again[0] == chosen[0]


def test_samples_of_a_tested_group_choose_nothing_either() -> None:
    groups: list[str | None] = [f"G{place % 10}" for place in range(20)]
    finalists = {"A": finalist(np.full(20, 0.5))}
    with pytest.raises(ValueError, match="nothing to choose by"):
        choose_by_fold({"A": [TASK]}, finalists, TEST, groups=groups)


def test_missing_folds_are_named() -> None:
    with pytest.raises(ValueError, match="finalist A has validation predictions of 1 of 2 folds"):
        choose_by_fold({"A": [TASK]}, {"A": finalist(np.full(20, 0.5))[:1]}, TEST)
    with pytest.raises(ValueError, match="no finalist"):
        choose_by_fold({}, {}, TEST)


def test_the_choice_is_without_bias_where_all_are_equally_good() -> None:
    """Chosen once for all folds the best is flattered; fold by fold it is not, within three standard errors."""
    once, error = selection_bias("once", repetitions=150)
    assert once > 3 * error
    by_fold, error = selection_bias("by fold", repetitions=150)
    assert abs(by_fold) < 3 * error
