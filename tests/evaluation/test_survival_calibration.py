"""Calibration against SurvivalEVAL 0.9.0, scikit-survival and simulations with known hazards."""

from __future__ import annotations

import numpy as np
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from branchpoint.evaluation.survival import kaplan_meier
from branchpoint.evaluation.survival_calibration import (
    calibration_slope,
    cox_slope,
    d_calibration,
    greenwood,
    leave_fold_out,
    one_calibration,
)
from tests.evaluation.cox_cohort import cox_cohort, true_survival

TWO_YEARS = 730.5


# SurvivalEVAL 0.9.0: d_calibration(true_survival(scale * h, time), event), bins from 1 down to 0.
@pytest.mark.parametrize(
    ("scale", "p", "counts"),
    [
        (
            1.0,
            0.9118102376755542,
            "28.25777583 34.59183073 28.22077238 24.44331661 25.62451829 30.58412686"
            " 33.82237375 27.74958355 33.42933706 33.27636493",
        ),
        (
            1.6,
            0.0007474851069383419,
            "32.88145476 30.30023341 27.50589835 25.12598687 21.10817612 27.45255898"
            " 22.30666523 23.76928018 34.76419838 54.78554773",
        ),
    ],
)
def test_d_calibration(scale: float, p: float, counts: str) -> None:
    log_hazard, time, event = cox_cohort()
    shares, found = d_calibration(true_survival(scale * log_hazard, time), event)
    np.testing.assert_allclose(shares[::-1] * 300, [float(count) for count in counts.split()], atol=1e-7)
    assert found == pytest.approx(p, rel=1e-9)


# SurvivalEVAL 0.9.0: one_calibration(1 - S, time, event, 730.5, adjust_variance=False), the highest risk first.
@pytest.mark.parametrize(("scale", "p"), [(1.0, 0.12857797246087907), (1.6, 9.221760602755762e-09)])
def test_one_calibration(scale: float, p: float) -> None:
    log_hazard, time, event = cox_cohort()
    table = one_calibration(true_survival(scale * log_hazard, np.full(300, TWO_YEARS)), time, event, TWO_YEARS)
    observed = [1.0, 0.9577777777777777, 0.8444444444444443, 0.7525, 0.5887445887445888, 0.6049625]
    observed += [0.2840579710144928, 0.33503059440559424, 0.22758620689655173, 0.36813186813186816]
    np.testing.assert_allclose(table.observed[::-1], observed)
    assert table.p == pytest.approx(p, rel=1e-6)
    assert table.count.tolist() == [30] * 10
    assert (np.diff(table.predicted) > 0).all()


def test_bins_hold_enough_patients_and_events() -> None:
    log_hazard, time, event = cox_cohort(60)
    survival = true_survival(log_hazard, np.full(60, TWO_YEARS))
    assert len(one_calibration(survival, time, event, TWO_YEARS).count) == 6
    assert len(one_calibration(survival, time, event & (np.cumsum(event) <= 12), TWO_YEARS).count) <= 2
    assert np.isnan(one_calibration(survival[:12], time[:12], event[:12], TWO_YEARS).p)


def test_greenwood_error_is_that_of_the_binomial_without_censoring() -> None:
    time, event = np.arange(1.0, 21.0), np.ones(20)
    survived = float(kaplan_meier(time, event)(12.0))
    assert greenwood(time, event, 12.0) == pytest.approx(np.sqrt(survived * (1 - survived) / 20))


@pytest.mark.parametrize("ties", [False, True])
def test_cox_slope_is_that_of_scikit_survival(ties: bool) -> None:
    log_hazard, time, event = cox_cohort(ties=ties)
    counts = np.random.default_rng(0).multinomial(300, np.full(300, 1 / 300), size=3)
    found = cox_slope(log_hazard, time, event, np.concatenate([np.ones((1, 300), int), counts]))
    for row, value in zip([np.ones(300, int), *counts], found, strict=True):
        chosen = np.repeat(np.arange(300), row)
        model = CoxPHSurvivalAnalysis().fit(log_hazard[chosen, None], Surv.from_arrays(event[chosen], time[chosen]))
        assert value == pytest.approx(model.coef_[0], abs=1e-6)
    assert np.isnan(cox_slope(log_hazard, time, np.zeros(300))[0])
    assert np.isnan(cox_slope(-time, time, np.ones(300))[0])  # a perfect order has no finite coefficient


def test_calibration_slope_finds_how_much_too_extreme_predictions_are() -> None:
    log_hazard, time, event = cox_cohort(4000)
    at = np.full(4000, TWO_YEARS)
    assert calibration_slope(true_survival(log_hazard, at), time, event, TWO_YEARS)[0] == pytest.approx(1, abs=0.06)
    assert calibration_slope(true_survival(2 * log_hazard, at), time, event, TWO_YEARS)[0] == pytest.approx(
        0.5, abs=0.03
    )


def test_leaving_a_fold_out_undoes_the_networks_scales_and_sees_no_own_outcome() -> None:
    log_hazard, time, event = cox_cohort(2000)
    fold = np.arange(2000) % 4
    raw = log_hazard * np.array([1.3, 3.9, 2.0, 0.2])[fold] + np.array([-0.2, 3.0, 0.3, 9.0])[fold]
    model = leave_fold_out(raw, time, event, fold)
    assert model is not None
    at = np.array([200.0, TWO_YEARS])
    np.testing.assert_allclose(model.survival(at), true_survival(log_hazard[:, None], at), atol=0.06)
    survival = model.survival(np.array([TWO_YEARS]))[:, 0]
    assert calibration_slope(survival, time, event, TWO_YEARS)[0] == pytest.approx(1, abs=0.1)
    assert d_calibration(model.survival_at_own(time), event)[1] > 0.01
    turned = np.where(fold == 2, ~event, event)
    other = leave_fold_out(raw, time, turned, fold)
    assert other is not None
    np.testing.assert_array_equal(model.survival(at)[fold == 2], other.survival(at)[fold == 2])
    assert np.isnan(model.survival(np.array([1e6]))).all()


def test_too_few_events_or_folds_give_no_model() -> None:
    log_hazard, time, event = cox_cohort(60)
    assert leave_fold_out(log_hazard, time, event, np.zeros(60, int)) is None
    assert leave_fold_out(log_hazard, time, event & (np.cumsum(event) <= 12), np.arange(60) % 3) is None
