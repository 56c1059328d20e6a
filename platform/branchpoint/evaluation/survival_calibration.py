"""Whether predicted survival probabilities agree with what happened.

Log-hazards are no probabilities. :func:`leave_fold_out` turns out-of-fold log-hazards into them without touching the
patients they are judged on: those of each fold are standardised, and for each fold a Cox model with this one covariate
and Breslow's baseline are fitted to the patients of all other folds, who also give the censoring distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from branchpoint.evaluation.survival import (
    Steps,
    breslow_baseline,
    censoring_distribution,
    kaplan_meier,
    survival_curves,
)
from branchpoint.tasks.base import ratio

FEWEST_EVENTS = 10
"""With fewer events among the other folds no baseline is fitted."""
NEWTON_STEPS = 30


@dataclass(frozen=True)
class OutOfFold:
    """Predicted survival of N patients by models that saw none of them.

    Attributes:
        score: (N,), log-hazards standardised within each fold, times the coefficient of the other folds.
        baselines: of each patient's fold, in the order of ``numbers``.
        censorings: the same of the censoring.
        overall: the same of Kaplan-Meier, which knows no log-hazards: what predictions must beat.
        place: int (N,), which of them is the patient's.
    """

    score: np.ndarray
    baselines: tuple[Steps, ...]
    censorings: tuple[Steps, ...]
    overall: tuple[Steps, ...]
    place: np.ndarray

    def survival(self, times: np.ndarray) -> np.ndarray:
        """(N, T): predicted probability of no event until ``times`` (T,); NaN beyond the support of the other folds."""
        return self._of(times, lambda k, rows, at: survival_curves(self.score[rows], self.baselines[k], at))

    def survival_at_own(self, time: np.ndarray) -> np.ndarray:
        """(N,): S at each patient's own time; beyond the support of the baseline, S where it ends."""
        found = np.empty(len(time))
        for k, baseline in enumerate(self.baselines):
            rows = self.place == k
            found[rows] = np.exp(-baseline(np.minimum(time[rows], baseline.end)) * np.exp(self.score[rows]))
        return found

    def censoring(self, times: np.ndarray) -> np.ndarray:
        """(N, T): probability of not being censored until ``times`` (T,)."""
        return self._of(times, lambda k, rows, at: np.broadcast_to(self.censorings[k](at), (len(rows), len(at))))

    def kaplan_meier(self, times: np.ndarray) -> np.ndarray:
        """(N, T): survival that Kaplan-Meier of the other folds predicts, the same for everyone of a fold."""
        return self._of(times, lambda k, rows, at: np.broadcast_to(self.overall[k](at), (len(rows), len(at))))

    def censoring_at_own(self, time: np.ndarray) -> np.ndarray:
        """(N,)."""
        found = np.empty(len(time))
        for k, censoring in enumerate(self.censorings):
            found[self.place == k] = censoring(time[self.place == k])
        return found

    def _of(self, times, function) -> np.ndarray:  # type: ignore[no-untyped-def]
        found = np.empty((len(self.place), len(times)))
        for k in range(len(self.baselines)):
            rows = np.flatnonzero(self.place == k)
            found[rows] = function(k, rows, times)
        return found


def standardised_within(log_hazard: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(N,), with mean 0 and standard deviation 1 in each fold: networks of different folds have scales of their own."""
    found = np.zeros(len(log_hazard))
    for value in np.unique(fold):
        rows = fold == value
        deviation = log_hazard[rows].std()
        found[rows] = (log_hazard[rows] - log_hazard[rows].mean()) / (deviation if deviation > 0 else 1.0)
    return found


def leave_fold_out(log_hazard: np.ndarray, time: np.ndarray, event: np.ndarray, fold: np.ndarray) -> OutOfFold | None:
    """Predicted survival of every patient from the patients of all other folds.

    Args:
        log_hazard: (N,), finite, each by the network that did not see the patient.
        time: (N,).
        event: (N,).
        fold: int (N,).

    Returns:
        ``None`` where there is one fold only, or the others of one have fewer than :data:`FEWEST_EVENTS` events.
    """
    numbers, place = np.unique(fold, return_inverse=True)
    event = event.astype(bool)
    standardised = standardised_within(log_hazard, fold)
    score = np.zeros(len(time))
    baselines, censorings, overall = [], [], []
    for k in range(len(numbers)):
        others = place != k
        if event[others].sum() < FEWEST_EVENTS:
            return None
        slope = float(cox_slope(standardised[others], time[others], event[others])[0])
        slope = slope if np.isfinite(slope) else 0.0
        score[place == k] = slope * standardised[place == k]
        baselines.append(breslow_baseline(slope * standardised[others], time[others], event[others]))
        censorings.append(censoring_distribution(time[others], event[others]))
        overall.append(kaplan_meier(time[others], event[others]))
    return OutOfFold(score, tuple(baselines), tuple(censorings), tuple(overall), place)


def cox_slope(x: np.ndarray, time: np.ndarray, event: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(R,): coefficient of one covariate in a Cox model (Breslow's ties), by Newton's method.

    Of log(-log S(t)) it is the calibration slope: 1 is right, less means that predictions are too extreme (van
    Houwelingen 2000). NaN where it does not converge, as without events or with a covariate that separates them.

    Args:
        x: (N,).
        time: (N,).
        event: (N,).
        weights: (R, N), how often each resample holds each patient.
    """
    order = np.argsort(-time, kind="stable")
    x, time, died = (x - x.mean())[order], time[order], event[order].astype(np.float64)
    weights = np.ones((1, len(x))) if weights is None else weights[:, order].astype(np.float64)
    last = np.searchsorted(-time, -time, side="right") - 1  # everyone with at least this time is at risk
    beta = np.zeros(len(weights))
    step = np.full(len(weights), np.inf)
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            hazard = weights * np.exp(np.clip(beta[:, None] * x, -500, 500))
            zeroth, first, second = (np.cumsum(hazard * x**power, axis=1)[:, last] for power in (0, 1, 2))
            mean = first / zeroth
            gradient = (weights * died * (x - mean)).sum(1)
            information = (weights * died * (second / zeroth - mean**2)).sum(1)
            step = np.clip(gradient / information, -2.0, 2.0)
            beta = beta + step
    return np.where(np.abs(step) < 1e-6, beta, np.nan)


def calibration_slope(
    survival: np.ndarray, time: np.ndarray, event: np.ndarray, at: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """(R,): slope of the observed on the predicted log cumulative hazard, with follow-up that ends at ``at``.

    Args:
        survival: (N,), predicted probability of no event until ``at``.
        time: (N,).
        event: (N,).
        at: horizon, in the unit of ``time``.
        weights: as of :func:`cox_slope`.
    """
    if not np.isfinite(survival).all() or ((survival <= 0) | (survival >= 1)).any():
        return np.full(1 if weights is None else len(weights), np.nan)
    return cox_slope(np.log(-np.log(survival)), np.minimum(time, at), event.astype(bool) & (time <= at), weights)


def d_calibration_shares(at_own: np.ndarray, event: np.ndarray, bins: int = 10) -> np.ndarray:
    """(N, bins): how much each patient counts in each bin of predicted survival, the lowest first (Haider et al. 2020).

    Whoever had the event counts in the bin of S(T_i) whole; whoever was censored at S(T_i) = c could have had it
    anywhere below, and is spread evenly over [0, c].
    """
    edges = np.linspace(0, 1, bins + 1)
    own = np.clip(at_own, 0.0, 1.0)[:, None]
    place = np.clip(np.ceil(own[:, 0] * bins - 1e-12).astype(int) - 1, 0, bins - 1)
    whole = np.eye(bins)[place]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.clip(np.minimum(own, edges[1:]) - edges[:-1], 0, None) / own
    return np.where(event.astype(bool)[:, None] | (own <= 0), whole, spread)


def d_calibration(at_own: np.ndarray, event: np.ndarray, bins: int = 10) -> tuple[np.ndarray, float]:
    """Share of patients in each bin (all 1 / bins where calibrated), and the p-value of Pearson's test for that."""
    from scipy.stats import chi2

    counts = d_calibration_shares(at_own, event, bins).sum(0)
    expected = len(at_own) / bins
    return counts / len(at_own), float(chi2.sf(((counts - expected) ** 2 / expected).sum(), bins - 1))


@dataclass(frozen=True)
class CalibrationTable:
    """Patients by predicted risk until a horizon, the lowest first.

    Attributes:
        count: int (B,), patients of each bin.
        predicted: (B,), mean predicted risk.
        observed: (B,), 1 - Kaplan-Meier, which stays as it is where a bin's follow-up ends before the horizon; NaN
            where everyone's does.
        error: (B,), standard error of the observed risk (Greenwood).
        p: of the test of D'Agostino and Nam (2003) that all bins agree, B - 1 degrees of freedom; NaN with one bin, or
            where a bin has no observed risk. Much censoring makes it reject too often (Demler et al. 2015).
    """

    count: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    error: np.ndarray
    p: float


def one_calibration(
    survival: np.ndarray, time: np.ndarray, event: np.ndarray, at: float, bins: int = 10
) -> CalibrationTable:
    """Predicted against observed risk until ``at``, in ``bins`` groups of equal size.

    Args:
        survival: (N,), predicted probability of no event until ``at``.
        time: (N,).
        event: (N,).
        at: horizon.
        bins: fewer are made where they would hold fewer than 10 patients or 5 events on average.
    """
    from scipy.stats import chi2

    happened = int((event.astype(bool) & (time <= at)).sum())
    bins = max(1, min(bins, len(time) // 10, happened // 5))
    groups = np.array_split(np.argsort(survival, kind="stable")[::-1], bins)
    count = np.array([len(rows) for rows in groups])
    predicted = np.array([(1 - survival[rows]).mean() for rows in groups])
    curves = [kaplan_meier(time[rows], event[rows]) for rows in groups]
    ends = [min(at, curve.end) if at <= time.max() else at for curve in curves]
    observed = np.array([float(1 - curve(end)) for curve, end in zip(curves, ends, strict=True)])
    error = np.array([greenwood(time[rows], event[rows], end) for rows, end in zip(groups, ends, strict=True)])
    statistic = (count * ratio((observed - predicted) ** 2, predicted * (1 - predicted))).sum()
    p = float(chi2.sf(statistic, bins - 1)) if bins > 1 else float("nan")
    return CalibrationTable(count, predicted, observed, error, p)


def greenwood(time: np.ndarray, event: np.ndarray, at: float) -> float:
    """Standard error of the Kaplan-Meier estimate at ``at`` (Greenwood 1926)."""
    times = np.unique(time[event.astype(bool) & (time <= at)])
    risk = (time[:, None] >= times).sum(0)
    events = ((time[:, None] == times) & event.astype(bool)[:, None]).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (events / (risk * (risk - events))).sum()
    survived = float(kaplan_meier(time, event)(at))
    return survived * float(np.sqrt(spread)) if survived else 0.0
