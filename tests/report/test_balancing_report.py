"""Balancing methods are compared at the cost that each of them could spend."""

from __future__ import annotations

import json
from typing import Any

from branchpoint.config import SCORE
from branchpoint.report.balancing import balancing_rows


def trial(
    name: str, method: str, best: float, weights: tuple[float, ...] = (1.0, 1.0), **changes: Any
) -> dict[str, Any]:
    config = {"tasks": [{"weight": weight} for weight in weights], "balancing": {"method": method}}
    row = {
        "trial": name,
        "attempt": 1,
        "state": "COMPLETE",
        "config": json.dumps(config),
        "metrics": {SCORE: best},
        "epoch_seconds": 1.0,
        "gpu_seconds": 0.0,
    }
    return {**row, **changes}


def curve(name: str, seconds: float, values: list[float], attempt: int = 1) -> list[dict[str, Any]]:
    return [
        {"trial": name, "attempt": attempt, "epoch": epoch, "seconds": seconds, "metrics": {SCORE: value}}
        for epoch, value in enumerate(values, start=1)
    ]


def test_a_slow_method_is_judged_within_the_time_of_the_fast_one() -> None:
    """Three seconds of the sum; in these the slow method has ended one epoch, whatever it reaches later."""
    trials = [trial("0", "sum", 0.6), trial("1", "upgrad", 0.9, gpu_seconds=9.0)]
    epochs = curve("0", 1.0, [0.2, 0.6, 0.5]) + curve("1", 3.0, [0.4, 0.7, 0.9])
    first, second = balancing_rows(trials, epochs, SCORE)
    equal = "best score (validation) within 3 s"
    assert (first["method"], first[equal], first["best score (validation)"], first["training s"]) == (
        "sum",
        "0.600",
        "0.600",
        "3.000",
    )
    assert (second["method"], second[equal], second["best score (validation)"]) == ("upgrad", "0.400", "0.900")
    assert (first["GPU s"], second["GPU s"]) == ("-", "9.000")


def test_only_joint_training_counts_and_only_latest_attempts() -> None:
    trials = [
        trial("0", "sum", 0.9, weights=(1.0, 0.0)),
        trial("1", "dwa", 0.5, attempt=2, state="PRUNED"),
        trial("2", "dwa", 0.4, state="FAILED"),
    ]
    epochs = curve("1", 1.0, [0.9], attempt=1) + curve("1", 1.0, [0.3, 0.5], attempt=2)
    (row,) = balancing_rows(trials, epochs, SCORE)
    assert (row["method"], row["trials"], row["best score (validation) within 2 s"]) == (
        "dwa",
        "1 (0 complete)",
        "0.500",
    )
    assert balancing_rows(trials[:1], epochs, SCORE) == []


def test_trials_without_epochs_show_no_score() -> None:
    (row,) = balancing_rows([trial("0", "famo", 0.7)], [], SCORE)
    assert (row["best score (validation) within 0 s"], row["best score (validation)"], row["training s"]) == (
        "-",
        "0.700",
        "0.000",
    )
