"""Incremental value against scikit-survival, closed forms, and simulations in which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from branchpoint.config import SurvivalConfig
from branchpoint.evaluation.bootstrap import paired_differences
from branchpoint.evaluation.incremental import combined, decision_curve, fit_cox, likelihood_ratio_test
from branchpoint.tasks import build_task


def simulated(count: int, seed: int, image: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Clinical and image scores, times and events; the log-hazard is clinical + ``image`` * image."""
    rng = np.random.default_rng(seed)
    clinical, picture = rng.normal(size=(2, count))
    time = rng.exponential(500 * np.exp(-clinical - image * picture))
    censored = rng.uniform(100, 2500, count)
    return clinical, picture, np.minimum(time, censored), time <= censored


def summaries(count: int, seed: int, image: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    clinical, picture, time, event = simulated(count, seed, image)
    fold = np.arange(count) % 4
    common = {"time_days": time, "event": event, "labelled": np.ones(count, bool), "index": np.arange(count)}
    scale = np.array([1.0, 4.0, 2.0, 0.3])[fold]
    return (
        {**common, "fold": fold, "log_hazard": clinical},
        {**common, "fold": fold, "log_hazard": scale * picture + 5 * fold},
    )


@pytest.mark.parametrize("ties", [False, True])
def test_cox_regression(ties: bool) -> None:
    clinical, picture, time, event = simulated(300, 0, 0.5)
    time = np.ceil(time / 50) * 50 if ties else time
    x = np.stack([clinical, picture], 1)
    found, likelihood = fit_cox(x, time, event)
    expected = CoxPHSurvivalAnalysis(ties="breslow").fit(x, Surv.from_arrays(event, time))
    np.testing.assert_allclose(found, expected.coef_, atol=1e-6)
    assert likelihood > fit_cox(x[:, :1], time, event)[1]
    # Strata have baselines of their own: shifting the scores of one changes nothing.
    strata = np.arange(300) % 3
    moved = fit_cox(x + 7.0 * (strata == 1)[:, None], time, event, strata)
    np.testing.assert_allclose(moved[0], fit_cox(x, time, event, strata)[0], atol=1e-6)
    with pytest.raises(ValueError, match="does not converge"):
        fit_cox(-time[:, None] / 500, time, np.ones(300))


def test_likelihood_ratio_of_noise_is_uniform_and_of_a_true_effect_small() -> None:
    p = [
        likelihood_ratio_test(clinical, np.random.default_rng(seed + 10_000).normal(size=150), time, event)[1]
        for seed in range(200)
        for clinical, _, time, event in [simulated(150, seed, 0.0)]
    ]
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09
    assert 0.4 <= np.mean(np.array(p) < 0.5) <= 0.6
    clinical, picture, time, event = simulated(300, 1, 0.7)
    assert likelihood_ratio_test(clinical, picture, time, event)[1] < 1e-6


def test_an_image_that_tells_something_new_is_found_and_noise_is_not() -> None:
    task = build_task(SurvivalConfig(name="survival", target="survival"))
    known, added = summaries(600, 2, image=1.0)
    together = combined(known, added)
    assert together is not None
    gain = paired_differences(task, together.summary, known, resamples=300)["c_index"]
    assert gain.low > 0.02
    assert together.p < 1e-10
    known, added = summaries(600, 3, image=0.0)
    together = combined(known, added)
    assert together is not None
    gain = paired_differences(task, together.summary, known, resamples=300)["c_index"]
    assert abs(gain.value) < 0.01
    assert gain.low < 0 < gain.high or abs(gain.value) < 0.005


def test_own_outcomes_do_not_weigh_and_patients_without_a_score_are_left_out() -> None:
    known, added = summaries(400, 2, image=1.0)
    together = combined(known, added)
    turned = np.where(known["fold"] == 1, ~known["event"], known["event"])
    other = combined({**known, "event": turned}, added)
    assert together is not None
    assert other is not None
    own = known["fold"] == 1
    np.testing.assert_array_equal(together.summary["log_hazard"][own], other.summary["log_hazard"][own])
    missing = {**known, "labelled": np.arange(400) > 20}
    left = combined(missing, added)
    assert left is not None
    assert left.summary["labelled"].sum() == 379
    assert combined(known, {**added, "log_hazard": np.full(400, np.nan)}) is None
    assert combined({**known, "event": known["event"] & (np.cumsum(known["event"]) <= 8)}, added) is None


def test_decision_curve_without_censoring_is_that_of_counts() -> None:
    rng = np.random.default_rng(0)
    risk = rng.random(500)
    event = rng.random(500) < risk
    time = np.where(event, 1.0, 3.0)
    thresholds = np.array([0.1, 0.3, 0.6])
    found = decision_curve(risk, time, np.ones(500), 2.0, thresholds)
    for place, threshold in enumerate(thresholds):
        treated, odds = risk > threshold, threshold / (1 - threshold)
        expected = (treated & event).mean() - (treated & ~event).mean() * odds
        assert found.model[place] == pytest.approx(expected)
        assert found.everyone[place] == pytest.approx(event.mean() - (~event).mean() * odds)
        assert found.model[place] >= max(0.0, found.everyone[place])  # a calibrated risk never harms
    assert decision_curve(risk, time, np.ones(500), 2.0, np.array([0.9999])).model[0] == pytest.approx(0, abs=1e-3)
    assert np.isnan(decision_curve(risk, time, event, 9.0, thresholds).model).all()
