"""The score of a study: corrected for chance, weighted, with an error that says how far it would fall elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from branchpoint.config import SegmentationConfig, SurvivalConfig
from branchpoint.evaluation.study_score import study_score
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary

TUMOUR = build_task(SegmentationConfig(name="tumour", target="tumour"))
SURVIVAL = build_task(SurvivalConfig(name="survival", target="survival"))


def outlines(dice: np.ndarray) -> dict[str, np.ndarray]:
    size = np.full((len(dice), 1), 10_000)
    return {
        "overlap": np.round(dice[:, None] * size).astype(int),
        "predicted": size,
        "truth": size,
        "labelled": np.ones(len(dice), bool),
        "index": np.arange(len(dice)),
    }


def survivors(order: float, n: int = 10) -> dict[str, np.ndarray]:
    return {
        "log_hazard": -order * np.arange(n, dtype=float),
        "time_days": np.arange(n) + 1.0,
        "event": np.ones(n, bool),
        "labelled": np.ones(n, bool),
        "index": np.arange(n),
    }


@pytest.mark.parametrize(("order", "share"), [(1.0, 1.0), (0.0, 0.0), (-1.0, 0.0)], ids=["perfect", "chance", "worse"])
def test_chance_counts_nothing_and_perfect_one(order: float, share: float) -> None:
    summaries: dict[str, Summary] = {"tumour": outlines(np.full(10, 0.6)), "survival": survivors(order)}
    found = study_score([TUMOUR, SURVIVAL], summaries)
    assert found.value == pytest.approx((0.6 + share) / 2)
    weighted = study_score([TUMOUR, SURVIVAL], summaries, weights={"tumour": 3.0})
    assert weighted.value == pytest.approx((3 * 0.6 + share) / 4)


def test_error_of_a_mean_is_the_standard_error() -> None:
    dice = np.random.default_rng(0).uniform(0.3, 0.9, 60)
    found = study_score([TUMOUR], {"tumour": outlines(dice)}, resamples=4000)
    assert found.error == pytest.approx(dice.std(ddof=1) / math.sqrt(60), rel=0.05)
    assert (found.n, found.resampled) == (60, "60 samples")


def test_groups_and_shared_patients_count_once() -> None:
    """Two tasks with equal values on the same samples: the mean is no more certain than one of them."""
    dice = np.repeat(np.random.default_rng(0).uniform(0.3, 0.9, 20), 3)
    other = build_task(SegmentationConfig(name="node", target="node"))
    groups: list[str | None] = [f"P{place // 3}" for place in range(60)]
    one = study_score([TUMOUR], {"tumour": outlines(dice)}, groups=groups, resamples=2000)
    both = {"tumour": outlines(dice), "node": outlines(dice)}
    assert study_score([TUMOUR, other], both, groups=groups, resamples=2000).error == pytest.approx(one.error)
    alone = study_score([TUMOUR], {"tumour": outlines(dice)}, resamples=2000)
    assert one.error / alone.error == pytest.approx(math.sqrt(3), rel=0.1)
    assert one.resampled == "20 groups (60 samples)"


def test_unlabelled_samples_do_not_count() -> None:
    partly = outlines(np.array([0.5, 0.7, 0.9, 0.1]))
    partly["labelled"][3] = False
    assert study_score([TUMOUR], {"tumour": partly}).value == pytest.approx(0.7)
    undefined = {"survival": survivors(1.0) | {"event": np.zeros(10, bool)}}
    assert study_score([SURVIVAL], undefined).value == 0


@pytest.mark.parametrize("weights", [{"tumour": 0.0}, {"tumour": -1.0}])
def test_weights_must_be_worth_something(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights of the tasks"):
        study_score([TUMOUR], {"tumour": outlines(np.ones(4))}, weights=weights)
