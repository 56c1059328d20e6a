"""The simulations of intervals, with few repetitions: coverage within what their number allows."""

from __future__ import annotations

import math

import pytest

from benchmarks.coverage import c_index, coverage, grouped_mean, main, paired_difference, seeds_by_patients

REPETITIONS = 150


def allowed(level: float = 0.95) -> tuple[float, float]:
    """Coverage of 0.95 less or more three standard errors."""
    error = 3 * math.sqrt(level * (1 - level) / REPETITIONS)
    return level - error, level + error


@pytest.mark.parametrize(
    "case",
    [grouped_mean(24, 10, 0.6), grouped_mean(4, 10, 0.5), seeds_by_patients(3, 40, 0.5), paired_difference(3, 40, 0.3)],
    ids=lambda case: case.name,
)
def test_intervals_hold_the_truth_as_often_as_they_say(case) -> None:  # type: ignore[no-untyped-def]
    low, high = allowed()
    assert low <= coverage(case, REPETITIONS)[0] <= high


def test_intervals_of_the_c_index_do() -> None:
    low, high = allowed()
    assert low <= coverage(c_index(50), REPETITIONS)[0] <= high


def test_drawing_samples_of_groups_does_not() -> None:
    assert coverage(grouped_mean(24, 49, 0.58, whole=False), 60)[0] < 0.5


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--repetitions", "2"])
    assert "| C-index: 60 patients |" in capsys.readouterr().out
