"""Curves and discrimination against scikit-survival and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sksurv.compare import compare_survival
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import brier_score, concordance_index_ipcw, cumulative_dynamic_auc, integrated_brier_score
from sksurv.nonparametric import (
    CensoringDistributionEstimator,
    cumulative_incidence_competing_risks,
    kaplan_meier_estimator,
)
from sksurv.util import Surv

from branchpoint.evaluation.survival import (
    at_risk,
    auc_pairs,
    breslow_baseline,
    brier_contributions,
    censoring_distribution,
    concordance,
    cumulative_incidence,
    evaluation_times,
    integrated,
    kaplan_meier,
    log_rank,
    survival_curves,
    uno_pairs,
)
from tests.evaluation.cox_cohort import cox_cohort, true_survival


@pytest.fixture(params=[False, True], ids=["distinct times", "tied times"])
def cohort(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return cox_cohort(ties=request.param)


def test_kaplan_meier_and_censoring(cohort: tuple) -> None:
    _, time, event = cohort
    times, expected = kaplan_meier_estimator(event, time)
    np.testing.assert_allclose(kaplan_meier(time, event)(times), expected, atol=1e-12)
    reference = CensoringDistributionEstimator().fit(Surv.from_arrays(event, time))
    np.testing.assert_allclose(censoring_distribution(time, event)(times), reference.predict_proba(times), atol=1e-12)
    assert np.isnan(kaplan_meier(time, event)(times[-1] + 1))


def test_breslow_baseline_and_curves(cohort: tuple) -> None:
    log_hazard, time, event = cohort
    x = np.stack([log_hazard, np.random.default_rng(1).normal(size=len(time))], 1)
    model = CoxPHSurvivalAnalysis(ties="breslow").fit(x, Surv.from_arrays(event, time))
    expected = model.predict_survival_function(x[:5])
    times = np.unique(time)[::7]
    fitted = x @ model.coef_ - x.mean(0) @ model.coef_
    found = survival_curves(fitted[:5], breslow_baseline(fitted, time, event), times)
    np.testing.assert_allclose(found, [curve(times) for curve in expected], atol=1e-10)
    assert np.isnan(survival_curves(fitted[:2], breslow_baseline(fitted, time, event), np.array([1e6]))).all()


def test_uno_c(cohort: tuple) -> None:
    log_hazard, time, event = cohort
    risk = np.round(log_hazard, 1)  # with ties
    train, test = np.arange(150), np.arange(150, 300)
    outcome = Surv.from_arrays(event, time)
    for tau in (400.0, 900.0):
        expected = concordance_index_ipcw(outcome[train], outcome[test], risk[test], tau=tau)[0]
        censoring = censoring_distribution(time[train], event[train])(time[test])
        found = concordance(risk[test], uno_pairs(time[test], event[test], np.nan_to_num(censoring), tau))
        assert found[0] == pytest.approx(expected, abs=1e-10)


def test_time_dependent_auc(cohort: tuple) -> None:
    log_hazard, time, event = cohort
    risk = np.round(log_hazard, 1)
    outcome, times = Surv.from_arrays(event, time), np.array([200.0, 500.0, 1000.0])
    expected, _ = cumulative_dynamic_auc(outcome, outcome, risk, times)
    own = censoring_distribution(time, event)(time)
    for at, value in zip(times, expected, strict=True):
        assert concordance(risk, auc_pairs(time, event, own, at))[0] == pytest.approx(value, abs=1e-10)


def test_pairs_of_one_fold_alone_count(cohort: tuple) -> None:
    """A different baseline in each fold changes nothing."""
    log_hazard, time, event = cohort
    fold = np.arange(300) % 3
    own = censoring_distribution(time, event)(time)
    pairs = uno_pairs(time, event, own, 900.0, fold)
    assert concordance(log_hazard + 100 * fold, pairs)[0] == pytest.approx(concordance(log_hazard, pairs)[0])
    assert pairs[fold != 0][:, fold == 0].sum() == 0


def test_resamples_are_repeated_patients(cohort: tuple) -> None:
    log_hazard, time, event = cohort
    own = censoring_distribution(time, event)(time)
    counts = np.random.default_rng(3).multinomial(300, np.full(300, 1 / 300), size=4)
    found = concordance(log_hazard, uno_pairs(time, event, own, 900.0), counts)
    for row, value in zip(counts, found, strict=True):
        chosen = np.repeat(np.arange(300), row)
        pairs = uno_pairs(time[chosen], event[chosen], own[chosen], 900.0)
        assert concordance(log_hazard[chosen], pairs)[0] == pytest.approx(value)


def test_brier_score(cohort: tuple) -> None:
    log_hazard, time, event = cohort
    train, test = np.arange(150), np.arange(150, 300)
    times = evaluation_times(time, event)
    survival = true_survival(log_hazard[test][:, None], times)
    outcome = Surv.from_arrays(event, time)
    inside = test[time[test] <= time[train].max()]
    survival = survival[np.isin(test, inside)]
    _, expected = brier_score(outcome[train], outcome[inside], survival, times)
    censoring = censoring_distribution(time[train], event[train])
    found = brier_contributions(
        survival,
        time[inside],
        event[inside],
        times,
        censoring(time[inside]),
        np.tile(censoring(times), (len(inside), 1)),
    )
    np.testing.assert_allclose(found.mean(0), expected, atol=1e-12)
    whole = integrated_brier_score(outcome[train], outcome[inside], survival, times)
    assert integrated(found.mean(0), times) == pytest.approx(whole, abs=1e-12)
    assert integrated(found, times).mean() == pytest.approx(whole, abs=1e-12)


def test_beyond_support_nothing_is_known() -> None:
    unknown = brier_contributions(
        np.array([[0.5, np.nan]]), np.array([3.0]), np.array([1]), np.array([1.0, 2.0]), np.ones(1), np.ones((1, 2))
    )
    assert unknown.tolist()[0] == pytest.approx([0.25, np.nan], nan_ok=True)
    followed = brier_contributions(
        np.zeros((2, 2)), np.array([3.0, 4.0]), np.ones(2), np.array([3.5, 4.0]), np.ones(2), np.ones((2, 2))
    )
    assert followed.tolist() == [[0, pytest.approx(np.nan, nan_ok=True)], [1, pytest.approx(np.nan, nan_ok=True)]]
    assert len(evaluation_times(np.array([1.0, 2.0]), np.array([1, 0]))) == 0
    assert np.isnan(concordance(np.zeros(2), uno_pairs(np.ones(2), np.zeros(2), np.ones(2), 5.0))[0])


def test_log_rank_and_numbers_at_risk(cohort: tuple) -> None:
    log_hazard, time, event = cohort
    group = (log_hazard > 0).astype(int)
    assert log_rank(time, event, group) == pytest.approx(compare_survival(Surv.from_arrays(event, time), group))
    assert np.isnan(log_rank(time, event, np.zeros(300))).all()
    assert at_risk(np.array([1.0, 2.0, 3.0]), [0.0, 2.0, 2.5]).tolist() == [3, 2, 1]


def test_cumulative_incidence_of_competing_events(cohort: tuple) -> None:
    _, time, event = cohort
    cause = np.where(event, np.random.default_rng(2).integers(1, 3, 300), 0)
    times, expected = cumulative_incidence_competing_risks(cause, time)
    for number in (1, 2):
        np.testing.assert_allclose(cumulative_incidence(time, cause, number)(times), expected[number], atol=1e-12)
    naive = 1 - kaplan_meier(time, cause == 1)(times)
    assert (naive + 1e-12 >= expected[1]).all()  # who counts death as censoring overstates recurrence
    assert naive[-1] > expected[1][-1] + 0.05
