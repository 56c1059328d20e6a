"""The Cox model behind a phantom's outcomes, against closed forms and a fitted Cox model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.phantoms import attainable_c_index, sample_patients, survival


def column(patients, name: str) -> np.ndarray:
    return np.array([getattr(patient, name) for patient in patients], dtype=float)


@given(st.integers(1, 80), st.floats(0.0, 0.99), st.integers(0, 2**32 - 1))
def test_any_censoring_is_met_to_the_patient(patients: int, censoring: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    eta = rng.normal(0, 1.5, patients)
    days, event = survival.observe(eta, rng.exponential(size=patients), rng.normal(size=patients), censoring)
    assert event.sum() == round((1 - censoring) * patients)
    assert days.min() >= 1


@pytest.mark.parametrize("censoring", [-0.1, 1.0, float("nan")])
def test_impossible_censoring_is_refused(censoring: float) -> None:
    with pytest.raises(ValueError, match="censoring is"):
        sample_patients(5, censoring=censoring)


def test_times_without_censoring_follow_the_weibull_of_each_hazard() -> None:
    """exp(eta) (T / scale) ** shape is a unit exponential, whatever eta."""
    rng = np.random.default_rng(0)
    eta = rng.normal(0, 1.5, 20_000)
    days, event = survival.observe(eta, rng.exponential(size=20_000), rng.normal(size=20_000), 0.0)
    assert event.all()
    hazard = np.exp(eta) * ((days - 0.5) / survival.WEIBULL_SCALE_DAYS) ** survival.WEIBULL_SHAPE
    for quantile in (0.25, 0.5, 0.75, 0.95):
        assert np.mean(hazard < -np.log(1 - quantile)) == pytest.approx(quantile, abs=0.01)


def test_cox_regression_finds_the_effects_again() -> None:
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.util import Surv

    cohort = sample_patients(3000, seed=5, censoring=0.5)
    volume, suv, uneven = (column(cohort, name) for name in ("volume_ml", "suv_max", "heterogeneity"))
    features = np.stack(
        [
            np.log(volume) / survival.VOLUME_ML[1],
            np.log(suv) / survival.SUV_MAX[1],
            uneven / survival.HETEROGENEITY[1],
        ],
        axis=1,
    )
    outcome = Surv.from_arrays(column(cohort, "event").astype(bool), column(cohort, "time_days"))
    fitted = CoxPHSurvivalAnalysis(ties="efron").fit(features, outcome).coef_
    np.testing.assert_allclose(fitted, survival.EFFECTS, atol=0.12)


@pytest.mark.parametrize("seed", range(5))
def test_attainable_c_index_is_high_and_two_numbers_come_close(seed: int) -> None:
    """300 patients: 0.80 to 0.90; Cox on log volume and log SUVmax of the truth loses little."""
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.util import Surv

    cohort = sample_patients(300, seed=seed)
    days, event = column(cohort, "time_days"), column(cohort, "event").astype(bool)
    assert event.mean() == pytest.approx(0.2)
    attainable = attainable_c_index(cohort)
    assert 0.80 < attainable < 0.90
    features = np.log(np.stack([column(cohort, "volume_ml"), column(cohort, "suv_max")], axis=1))
    risk = CoxPHSurvivalAnalysis().fit(features, Surv.from_arrays(event, days)).predict(features)
    assert attainable - 0.03 < survival.c_index(risk, days, event)


def test_follow_up_is_years_not_decades() -> None:
    cohort = sample_patients(300)
    days, event = column(cohort, "time_days"), column(cohort, "event") == 1
    assert 300 < np.median(days[event]) < 1000
    assert 900 < np.median(days[~event]) < 2000


def test_covariates_lean_on_the_tumour_but_do_not_give_it_away() -> None:
    cohort = sample_patients(2000)
    stage = np.array([int(patient.clinical.t_stage[1]) for patient in cohort])
    age = np.array([patient.clinical.age for patient in cohort])
    volume = np.log(column(cohort, "volume_ml"))
    assert 0.45 < np.corrcoef(stage, volume)[0, 1] < 0.75
    assert 0.05 < np.corrcoef(age, volume)[0, 1] < 0.3
    assert {len(patient.node_ml) for patient in cohort} == {0, 1, 2, 3}
    assert {patient.center for patient in cohort} == set(range(5))


def test_a_patient_does_not_depend_on_how_many_others_there_are() -> None:
    few, many = sample_patients(5, seed=3), sample_patients(40, seed=3)
    for one, same in zip(few, many, strict=False):
        assert (one.volume_ml, one.suv_max, one.node_ml, one.clinical, one.number) == (
            same.volume_ml,
            same.suv_max,
            same.node_ml,
            same.clinical,
            same.number,
        )


def test_no_event_leaves_the_c_index_undefined() -> None:
    assert np.isnan(attainable_c_index(sample_patients(3, censoring=0.95)))


@pytest.mark.parametrize(("patients", "seed"), [(0, 0), (3, -1)])
def test_senseless_cohorts_are_refused(patients: int, seed: int) -> None:
    with pytest.raises(ValueError, match=r"patients is 0|seed is -1"):
        sample_patients(patients, seed=seed)
