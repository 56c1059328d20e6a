"""Selection and Cox regression: rules one by one, and a planted feature that must be found."""

from __future__ import annotations

import numpy as np
import pytest

from branchpoint.config import SurvivalConfig
from branchpoint.datasets.splits import Split
from branchpoint.radiomics.model import KEPT, THRESHOLDS, drop_correlated, fit, rank
from branchpoint.radiomics.patients import FeatureTable
from branchpoint.radiomics.references import radiomics_reference
from branchpoint.tasks import build_task
from branchpoint.tasks.survival import SurvivalTask, concordance_index

NAMES = tuple(f"feature{number:02d}" for number in range(40))


def outcomes(count: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (count, 40), times and events; feature 7 doubles the log-hazard, feature 8 is nearly the same."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 40))
    values[:, 8] = values[:, 7] + 0.1 * rng.normal(size=count)
    time = rng.exponential(np.exp(-1.5 * values[:, 7]) * 500)
    censored = rng.exponential(900, count)
    return values, np.minimum(time, censored) + 1, time <= censored


def parts(count: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.arange(0, count // 2), np.arange(count // 2, 3 * count // 4), np.arange(3 * count // 4, count)


def test_the_planted_feature_is_found_and_its_twin_dropped() -> None:
    values, time, event = outcomes()
    train, validation, test = parts()
    model = fit(values, NAMES, time, event, train, validation)
    assert len({7, 8} & set(model.columns.tolist())) == 1
    assert model.threshold in THRESHOLDS
    assert model.ridge == 0
    assert concordance_index(model.log_hazard(values[test]), time[test], event[test]) > 0.7
    assert model.validation_c_index == concordance_index(
        model.log_hazard(values[validation]), time[validation], event[validation]
    )


def test_ranking_is_by_distance_from_chance_on_validation_then_by_name() -> None:
    time, event = np.arange(1.0, 9.0), np.ones(8, bool)
    risk = -time
    values = np.stack([risk * 0 + 1, risk, -risk, np.roll(risk, 4)], axis=1)
    names = ("constant", "b", "a", "c")
    everyone = np.arange(8)
    # C is 1 for b and 0 for a: equally far from chance, so the name decides; what is constant is left out.
    assert rank(values, names, time, event, everyone, everyone).tolist() == [2, 1, 3]
    wide = np.tile(values[:, 1:2], (1, 30))
    assert len(rank(wide, [f"{i:02d}" for i in range(30)], time, event, everyone, everyone)) == KEPT


def test_correlated_features_are_dropped_going_down_the_list() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 4000))
    near = first + rng.normal(size=4000)  # correlation 0.71 with the first
    values = np.stack([first, near, -first, second], axis=1)
    ranked = np.array([1, 0, 2, 3])
    assert drop_correlated(values, ranked, 0.65).tolist() == [1, 3]
    assert drop_correlated(values, ranked, 0.75).tolist() == [1, 0, 3]


def test_coefficients_are_those_of_scikit_survival() -> None:
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.util import Surv

    values, time, event = outcomes()
    train, validation, test = parts()
    model = fit(values, NAMES, time, event, train, validation)
    plain = CoxPHSurvivalAnalysis().fit(values[train][:, model.columns], Surv.from_arrays(event[train], time[train]))
    found, expected = model.log_hazard(values[test]), plain.predict(values[test][:, model.columns])
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-6)


def test_more_features_than_events_still_give_a_model() -> None:
    values, time, event = outcomes(40)
    train, validation, test = parts(40)
    event = event.copy()
    event[train[4:]] = False
    model = fit(values, NAMES, time, event, train, validation)
    assert np.isfinite(model.log_hazard(values[test])).all()


def test_nothing_to_learn_or_to_choose_by_is_said() -> None:
    values, time, event = outcomes(40)
    train, validation, _ = parts(40)
    with pytest.raises(ValueError, match="none of 20 training patients with features has an event"):
        fit(values, NAMES, time, np.zeros(40, bool), train, validation)
    only_training = event.copy()
    only_training[validation] = False
    with pytest.raises(ValueError, match="among 10 validation patients"):
        fit(values, NAMES, time, only_training, train, validation)


def test_test_outcomes_change_nothing_and_patients_without_features_count_as_unlabelled() -> None:
    values, time, event = outcomes()
    train, validation, test = parts()
    values[test[3]] = np.nan
    values[train[0]] = np.nan
    ids = tuple(f"p{number}" for number in range(240))

    class Cohort:
        patient_ids = ids

        def __init__(self, event: np.ndarray) -> None:
            self.labelled = {"survival": np.ones(240, bool)}
            self.labels = {"survival": np.stack([time, event], 1)}

    task = build_task(SurvivalConfig(name="survival", target="survival"))
    assert isinstance(task, SurvivalTask)
    table, split = FeatureTable(ids, NAMES, values), Split(train, validation, test)
    reference = radiomics_reference(task, Cohort(event), table, split)
    turned = event.copy()
    turned[test] = ~turned[test]
    other = radiomics_reference(task, Cohort(turned), table, split)
    np.testing.assert_array_equal(reference.summary["log_hazard"], other.summary["log_hazard"])
    assert np.flatnonzero(~reference.summary["labelled"]).tolist() == [3]
    assert task.metrics(reference.summary)["c_index"] > 0.7
    with pytest.raises(ValueError, match="not of the patients of the prepared cohort"):
        radiomics_reference(task, Cohort(event), FeatureTable(ids[::-1], NAMES, values), split)
