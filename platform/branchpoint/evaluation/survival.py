"""Survival curves and how well risks order patients over time.

Kaplan-Meier, Breslow's baseline hazard, Uno's C, the time-dependent AUC, the Brier score of Graf et al. (1999),
log-rank test, numbers at risk and cumulative incidence under competing risks. Conventions where times tie are those
of scikit-survival, against which everything is tested. How predicted probabilities agree with what happened is in
:mod:`branchpoint.evaluation.survival_calibration`.

Shapes: N patients, T times, R resamples. ``weights`` (R, N) is how often each resample holds each patient; without it,
everyone counts once and R is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.tasks.base import ratio
from branchpoint.tasks.survival import concordant_pairs


@dataclass(frozen=True)
class Steps:
    """A right-continuous step function of time.

    Attributes:
        times: (K,), where it steps, ascending.
        values: (K,), from each of these on.
        initial: value before the first.
        end: last time that was observed: beyond it nothing is known.
    """

    times: np.ndarray
    values: np.ndarray
    initial: float
    end: float

    def __call__(self, at: np.ndarray | float) -> np.ndarray:
        """Values at times of any shape; NaN beyond :attr:`end`."""
        at = np.asarray(at, dtype=np.float64)
        held = np.concatenate([[self.initial], self.values])
        found = held[np.searchsorted(self.times, at, side="right")]
        return np.where(at > self.end, np.nan, found)


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> Steps:
    """Probability of no event until t (Kaplan and Meier 1958).

    Args:
        time: (N,), to event or censoring.
        event: (N,), 1 or True where the event happened.

    Example:
        >>> kaplan_meier(np.array([1.0, 2, 3, 4]), np.array([1, 0, 1, 1]))(np.array([0.5, 1, 3, 5]))
        array([1.   , 0.75 , 0.375,   nan])
    """
    times, at_risk, events, _ = _counts(time, event)
    return Steps(times, np.cumprod(1 - events / at_risk), 1.0, float(times[-1]))


def censoring_distribution(time: np.ndarray, event: np.ndarray) -> Steps:
    """Probability of not being censored until t: Kaplan-Meier of the censoring; events come first where times tie."""
    times, at_risk, events, censored = _counts(time, event)
    left = at_risk - events
    return Steps(times, np.cumprod(1 - np.where(left > 0, censored / np.maximum(left, 1), 0.0)), 1.0, float(times[-1]))


def breslow_baseline(log_hazard: np.ndarray, time: np.ndarray, event: np.ndarray) -> Steps:
    """Cumulative hazard of a patient with log-hazard 0 (Breslow 1972): events over the hazards at risk, summed.

    Args:
        log_hazard: (N,), of a fitted proportional hazards model.
        time: (N,).
        event: (N,).
    """
    times, _, events, _ = _counts(time, event)
    order = np.argsort(-time, kind="stable")
    cumulated = np.cumsum(np.exp(log_hazard[order]))
    last = np.searchsorted(-time[order], -times, side="right") - 1
    return Steps(times, np.cumsum(events / cumulated[last]), 0.0, float(times[-1]))


def survival_curves(log_hazard: np.ndarray, baseline: Steps, times: np.ndarray) -> np.ndarray:
    """(N, T): probability of no event until each of ``times`` (T,), exp(-H0(t) exp(log_hazard)); NaN beyond support."""
    return np.exp(-baseline(times)[None, :] * np.exp(log_hazard)[:, None])


def uno_pairs(
    time: np.ndarray, event: np.ndarray, censoring: np.ndarray, tau: float, fold: np.ndarray | None = None
) -> np.ndarray:
    """(N, N): weight 1 / G(T_i)^2 where i had the event before j's time and before ``tau``, else 0.

    Args:
        time: (N,).
        event: (N,).
        censoring: (N,), G(T_i): probability of not being censored until the patient's own time.
        tau: events from here on do not count: few are left to estimate the censoring.
        fold: (N,); pairs across folds do not count.
    """
    counts = event.astype(bool) & (time < tau) & (censoring > 0)
    weight = np.where(counts, 1 / np.where(counts, censoring, 1.0) ** 2, 0.0)
    pairs = (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & ~event.astype(bool)[None, :])
    return pairs * weight[:, None] * _within(fold, len(time))


def auc_pairs(
    time: np.ndarray, event: np.ndarray, censoring: np.ndarray, at: float, fold: np.ndarray | None = None
) -> np.ndarray:
    """(N, N): weight 1 / G(T_i) where i had the event until ``at`` and j had none; for the time-dependent AUC.

    Cumulative cases against dynamic controls (Uno et al. 2007); arguments as of :func:`uno_pairs`.
    """
    case = event.astype(bool) & (time <= at) & (censoring > 0)
    weight = np.where(case, 1 / np.where(case, censoring, 1.0), 0.0)
    return weight[:, None] * (time > at)[None, :] * _within(fold, len(time))


def concordance(risk: np.ndarray, pairs: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(R,): weighted share of ``pairs`` (N, N) in which the first patient has the higher risk; ties count one half.

    With :func:`uno_pairs` Uno's C (Uno et al. 2011), with :func:`auc_pairs` the time-dependent AUC; NaN without pairs.

    Example:
        >>> time, event = np.array([1.0, 2, 3]), np.array([1, 1, 0])
        >>> concordance(np.array([0.3, 0.1, 0.2]), uno_pairs(time, event, np.ones(3), tau=10.0))
        array([0.66666667])
    """
    weights = np.ones((1, len(risk))) if weights is None else weights
    won = pairs * concordant_pairs(risk)
    return ratio(((weights @ won) * weights).sum(1), ((weights @ pairs) * weights).sum(1))


def brier_contributions(
    survival: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    times: np.ndarray,
    censoring: np.ndarray,
    censoring_at: np.ndarray,
) -> np.ndarray:
    """(N, T): what each patient adds to the Brier score at each time; their mean is the score (Graf et al. 1999).

    Who had the event counts S(t)^2 / G(T_i), who is still at risk (1 - S(t))^2 / G(t), who was censored before nothing.

    Args:
        survival: (N, T), predicted probability of no event until ``times``.
        time: (N,).
        event: (N,).
        times: (T,).
        censoring: (N,), G at the patients' own times, from other (training) patients.
        censoring_at: (N, T), G at ``times``.

    Returns:
        NaN where S or G is unknown, or G is 0, and at times that no patient was followed beyond: there every prediction
        near 0 would look perfect.
    """
    case = event.astype(bool)[:, None] & (time[:, None] <= times[None, :])
    control = time[:, None] > times[None, :]
    # A censoring distribution ends with its patients: later events have no weight, and are NaN.
    with np.errstate(divide="ignore", invalid="ignore"):
        of_case = survival**2 / np.where(censoring > 0, censoring, np.nan)[:, None]
        of_control = (1 - survival) ** 2 / np.where(censoring_at > 0, censoring_at, np.nan)
    unknown = np.isnan(survival) | np.isnan(censoring_at) | ~control.any(axis=0)
    return np.where(unknown, np.nan, np.where(case, of_case, np.where(control, of_control, 0.0)))


def integrated(scores: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Mean over time by the trapezoidal rule, over the last axis (T): the integrated Brier score."""
    return np.trapezoid(scores, times, axis=-1) / (times[-1] - times[0])


def evaluation_times(time: np.ndarray, event: np.ndarray, count: int = 20) -> np.ndarray:
    """(count,): equally spaced, from the 10th to the 80th percentile of event times; empty with one event or none."""
    happened = time[event.astype(bool)]
    if len(np.unique(happened)) < 2:
        return np.zeros(0)
    first, last = np.percentile(happened, [10, 80])
    return np.linspace(first, last, count)


def log_rank(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Chi-square and p-value of the log-rank test that all groups have the same hazard; NaN with one group."""
    from sksurv.compare import compare_survival
    from sksurv.util import Surv

    if len(np.unique(group)) < 2 or not event.any():
        return float("nan"), float("nan")
    chi_square, p = compare_survival(Surv.from_arrays(event.astype(bool), time), group)
    return float(chi_square), float(p)


def at_risk(time: np.ndarray, times: Sequence[float] | np.ndarray) -> np.ndarray:
    """int (T,): how many patients have a time of at least each of ``times``."""
    return (time[:, None] >= np.asarray(times)[None, :]).sum(0)


def cumulative_incidence(time: np.ndarray, cause: np.ndarray, of: int = 1) -> Steps:
    """Probability of an event of one cause until t, where another may come first (Aalen and Johansen 1978).

    Args:
        time: (N,).
        cause: int (N,), 0 where censored, else which event came first.
        of: the cause.

    Example:
        >>> relapse_or_death = cumulative_incidence(np.array([1.0, 2, 3, 4]), np.array([1, 2, 1, 0]))
        >>> relapse_or_death(np.array([1.0, 3.0]))  # 1 - Kaplan-Meier would say 0.625 at 3
        array([0.25, 0.5 ])
    """
    times, risk, events, _ = _counts(time, cause > 0)
    _, _, of_cause, _ = _counts(time, cause == of)
    survived = np.concatenate([[1.0], np.cumprod(1 - events / risk)[:-1]])
    return Steps(times, np.cumsum(survived * of_cause / risk), 0.0, float(times[-1]))


def _counts(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """At each distinct time: the time, patients at risk, events, censored."""
    times, place = np.unique(np.asarray(time, dtype=np.float64), return_inverse=True)
    leaving = np.bincount(place, minlength=len(times))
    events = np.bincount(place, weights=np.asarray(event).astype(np.float64), minlength=len(times))
    return times, len(time) - np.cumsum(leaving) + leaving, events, leaving - events


def _within(fold: np.ndarray | None, count: int) -> np.ndarray:
    return np.ones((count, count)) if fold is None else (fold[:, None] == fold[None, :]).astype(np.float64)
