"""Feature selection and Cox regression of standard radiomics (Andrearczyk et al. 2021, section 2.4).

Features are ranked by |C - 0.5| of each alone on the validation patients, and the best 20 kept. Going down this list,
a feature is dropped whose correlation with one that was kept exceeds a threshold on the training patients. Cox
proportional hazards are fitted to the training patients; the threshold with the best C-index on validation is taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.tasks.survival import comparable_pairs, concordance_index

KEPT = 20
THRESHOLDS = (0.6, 0.65, 0.7, 0.75, 0.8)
FALLBACK_RIDGE = 0.1
"""Penalty where the likelihood has no maximum that Newton's method reaches, as with as many features as events."""


@dataclass(frozen=True)
class RadiomicsModel:
    """A fitted model.

    Attributes:
        columns: int (K,), positions of the selected features.
        mean, deviation: (K,), of the training patients; features are standardised by them.
        coefficients: (K,), of the standardised features.
        threshold: of the correlation.
        validation_c_index: with which the threshold was chosen.
        ridge: penalty of the fit; 0 unless the plain one failed.
    """

    columns: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    coefficients: np.ndarray
    threshold: float
    validation_c_index: float
    ridge: float = 0.0

    def log_hazard(self, values: np.ndarray) -> np.ndarray:
        """(N,) of features (N, F); NaN where a selected one is missing."""
        return (values[:, self.columns] - self.mean) / self.deviation @ self.coefficients


def fit(
    values: np.ndarray,
    names: Sequence[str],
    time_days: np.ndarray,
    event: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
) -> RadiomicsModel:
    """Select on ``validation``, fit on ``train``.

    Args:
        values: float (N, F), NaN where unknown; such patients neither fit nor select.
        names: of the F features, which decide ties.
        time_days: (N,).
        event: (N,), 1 or True where the event happened.
        train: positions of the training patients.
        validation: positions of the validation patients.

    Raises:
        ValueError: no events among the training patients, or no pair of validation patients can be compared.
    """
    known = ~np.isnan(values).any(1)
    train, validation = train[known[train]], validation[known[validation]]
    event = event.astype(bool)
    if not event[train].any():
        raise ValueError(f"none of {len(train)} training patients with features has an event: nothing can be fitted")
    ranked = rank(values, names, time_days, event, train, validation)
    best: RadiomicsModel | None = None
    for threshold in THRESHOLDS:
        columns = drop_correlated(values[train], ranked, threshold)
        model = _cox(values, columns, time_days, event, train, threshold)
        found = concordance_index(model.log_hazard(values[validation]), time_days[validation], event[validation])
        if best is None or found > best.validation_c_index:
            best = RadiomicsModel(
                columns, model.mean, model.deviation, model.coefficients, threshold, found, model.ridge
            )
    assert best is not None
    return best


def rank(
    values: np.ndarray,
    names: Sequence[str],
    time_days: np.ndarray,
    event: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
) -> np.ndarray:
    """Positions of the best :data:`KEPT` features by |C - 0.5| on validation, then by name.

    Features that do not vary among the training patients are left out.
    """
    pairs = comparable_pairs(time_days[validation], event[validation])
    if not pairs.any():
        raise ValueError(
            f"among {len(validation)} validation patients with features no two can be compared: none has an event "
            "before another's time; use fewer folds or a larger split.validation_fraction"
        )
    first, second = np.nonzero(pairs)
    x = values[validation]
    concordance = ((x[first] > x[second]) + 0.5 * (x[first] == x[second])).mean(0)
    strength = np.round(np.abs(concordance - 0.5), 12)
    usable = np.flatnonzero(values[train].std(0) > 0)
    return np.array(sorted(usable.tolist(), key=lambda column: (-strength[column], names[column]))[:KEPT])


def drop_correlated(values: np.ndarray, ranked: np.ndarray, threshold: float) -> np.ndarray:
    """Those of ``ranked`` whose |Pearson correlation| with every better one that was kept is at most ``threshold``."""
    correlation = np.abs(np.atleast_2d(np.corrcoef(values[:, ranked].T)))
    kept: list[int] = []
    for place in range(len(ranked)):
        if not (correlation[place, kept] > threshold).any():
            kept.append(place)
    return ranked[kept]


def _cox(
    values: np.ndarray, columns: np.ndarray, time_days: np.ndarray, event: np.ndarray, train: np.ndarray, t: float
) -> RadiomicsModel:
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.util import Surv

    x = values[np.ix_(train, columns)]
    mean, deviation = x.mean(0), x.std(0)
    outcome = Surv.from_arrays(event[train], time_days[train])
    for ridge in (0.0, FALLBACK_RIDGE):
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("error")
                model = CoxPHSurvivalAnalysis(alpha=ridge).fit((x - mean) / deviation, outcome)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError, Warning):
            continue
        if np.isfinite(model.coef_).all():
            return RadiomicsModel(columns, mean, deviation, model.coef_, t, float("nan"), ridge)
    raise ValueError(f"Cox regression on {len(columns)} features of {len(train)} training patients does not converge")
