"""The rule of successive halving, checked by hand."""

from __future__ import annotations

import math

import pytest

from branchpoint.execution.halving import Halving, HalvingConfig


def test_rungs_grow_geometrically_below_the_budget() -> None:
    assert HalvingConfig(grace=4, reduction=3).rungs(60) == (4, 12, 36)
    assert HalvingConfig(grace=2, reduction=2).rungs(8) == (2, 4)
    assert HalvingConfig(grace=8).rungs(8) == ()


@pytest.mark.parametrize("wrong", [{"grace": 0}, {"reduction": 1.0}, {"least": 0}])
def test_settings_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        HalvingConfig(**wrong)  # type: ignore[arg-type]


def test_best_third_goes_on() -> None:
    """Values 1..9 in a fixed order at one rung, each goes on if it is in the upper third so far."""
    rule = Halving(HalvingConfig(grace=1, reduction=3, least=3), epochs=2)
    stopped = [value for value in (5, 1, 9, 2, 8, 3, 7, 4, 6) if rule.stop_reason(f"t{value}", 1, value)]
    assert stopped == [2, 3, 4, 6]


def test_minimising_mirrors_maximising() -> None:
    up = Halving(HalvingConfig(grace=1), epochs=5)
    down = Halving(HalvingConfig(grace=1), epochs=5, maximize=False)
    values = (0.3, 0.5, 0.1, 0.4, 0.2, 0.6)
    for i, value in enumerate(values):
        assert (up.stop_reason(str(i), 1, value) is None) == (down.stop_reason(str(i), 1, -value) is None)


def test_best_so_far_is_compared_where_it_is_kept_and_nan_is_worst() -> None:
    rule = Halving(HalvingConfig(grace=2, least=2), epochs=5, keep_best=True)
    assert not rule.stop_reason("a", 2, 0.5)
    assert not rule.stop_reason("b", 1, 0.6)
    assert not rule.stop_reason("b", 2, 0.1), "its best epoch counts"
    assert rule.stop_reason("c", 2, math.nan)


def test_a_lucky_epoch_does_not_count_where_the_last_weights_are_kept() -> None:
    rule = Halving(HalvingConfig(grace=2, least=2), epochs=5)
    assert not rule.stop_reason("a", 2, 0.5)
    assert not rule.stop_reason("b", 1, 0.6)
    assert "its value 0.1 is number 2 of 2" in str(rule.stop_reason("b", 2, 0.1))
    recalled = Halving(HalvingConfig(grace=2, least=2), epochs=5)
    recalled.recall([("b", 1, 0.6), ("b", 2, 0.1)])
    assert not recalled.stop_reason("c", 2, 0.2), "0.2 leads: 0.6 was one epoch's"


def test_between_rungs_nothing_stops() -> None:
    rule = Halving(HalvingConfig(grace=2, least=2), epochs=9)
    for trial in "abc":
        rule.stop_reason(trial, 2, 1.0)
    assert not any(rule.stop_reason("d", epoch, 0.0) for epoch in (1, 3, 4, 5))


def test_rule_recalled_from_the_store_decides_alike() -> None:
    values = [(f"t{i}", epoch, i * epoch / 10) for i in (4, 1, 3) for epoch in (1, 2, 3)]
    lived, recalled = (Halving(HalvingConfig(grace=1, least=2), epochs=9) for _ in range(2))
    for trial, epoch, value in values:
        lived.stop_reason(trial, epoch, value)
    recalled.recall(values)
    for value in (0.05, 0.15, 0.35, 0.5):
        assert lived.stop_reason(f"new{value}", 1, value) == recalled.stop_reason(f"new{value}", 1, value)
    assert not recalled.stop_reason("t1", 3, 0.0), "a resumed trial is not compared twice at a rung"
