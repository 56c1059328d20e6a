"""What a network's risk adds to what is known without it: clinical values, or volume and uptake of the outline.

A model on two scores, that of the known values and the network's, against the known values alone. Scores are
out-of-fold and standardised within each fold; the two coefficients for each fold come from the patients of all other
folds, so that nobody's outcome weighs their own prediction. (The networks of the other folds did learn from this fold's
patients, which the two coefficients can hardly carry over.)

- the difference of the C-index, over resampled patients: :func:`combined` and the paired bootstrap;
- the likelihood-ratio test that the network's coefficient is 0, stratified by fold;
- the decision curve (Vickers and Elkin 2006; with censoring Vickers et al. 2008): net benefit of treating those whose
  risk exceeds a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from branchpoint.evaluation.survival import kaplan_meier
from branchpoint.evaluation.survival_calibration import FEWEST_EVENTS, standardised_within
from branchpoint.tasks.base import Summary

NEWTON_STEPS = 50
RIDGE = 1e-3
"""Penalty RIDGE / 2 |coefficients|^2 of the combination, so that separable patients have finite coefficients."""


def fit_cox(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, strata: np.ndarray | None = None, ridge: float = 0.0
) -> tuple[np.ndarray, float]:
    """Coefficients (P,) and log partial likelihood of Cox regression, Breslow's ties, by Newton's method.

    Args:
        x: (N, P), standardised.
        time: (N,).
        event: (N,).
        strata: (N,); each has a baseline of its own.
        ridge: penalty ridge / 2 |coefficients|^2; not part of the likelihood that is returned.

    Raises:
        ValueError: it does not converge.
    """
    beta = np.zeros(x.shape[1])
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            likelihood, gradient, information = _partial_likelihood(x, time, event, strata, beta)
            information = information + ridge * np.eye(len(beta))
            try:
                step = np.linalg.solve(information, gradient - ridge * beta)
            except np.linalg.LinAlgError:
                break
            if np.abs(step).max() < 1e-9:
                return beta, likelihood
            beta = beta + np.clip(step, -2.0, 2.0)
    raise ValueError(f"Cox regression of {x.shape[1]} covariates on {int(np.sum(event))} events does not converge")


def _partial_likelihood(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, strata: np.ndarray | None, beta: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log partial likelihood with its gradient (P,) and negative Hessian (P, P)."""
    strata = np.zeros(len(time)) if strata is None else strata
    likelihood, gradient, information = 0.0, np.zeros(len(beta)), np.zeros((len(beta), len(beta)))
    for value in np.unique(strata):
        rows = np.flatnonzero(strata == value)
        rows = rows[np.argsort(-time[rows], kind="stable")]
        last = np.searchsorted(-time[rows], -time[rows], side="right") - 1
        of, died = x[rows], event[rows].astype(bool)
        hazard = np.exp(of @ beta)
        total = np.cumsum(hazard)[last][died]
        mean = np.cumsum(hazard[:, None] * of, axis=0)[last][died] / total[:, None]
        square = np.cumsum(hazard[:, None, None] * of[:, :, None] * of[:, None, :], axis=0)[last][died]
        likelihood += float((of[died] @ beta - np.log(total)).sum())
        gradient += (of[died] - mean).sum(0)
        information += (square / total[:, None, None] - mean[:, :, None] * mean[:, None, :]).sum(0)
    return likelihood, gradient, information


def likelihood_ratio_test(
    known: np.ndarray, added: np.ndarray, time: np.ndarray, event: np.ndarray, strata: np.ndarray | None = None
) -> tuple[float, float]:
    """Chi-square (1 degree of freedom) and p-value that ``added`` says nothing beyond ``known``; NaN if unfittable.

    Args:
        known: (N,), score of what is known without it.
        added: (N,), score that is tested.
        time: (N,).
        event: (N,).
        strata: (N,), such as the folds.
    """
    from scipy.stats import chi2

    try:
        _, without = fit_cox(known[:, None], time, event, strata)
        _, both = fit_cox(np.stack([known, added], axis=1), time, event, strata)
    except ValueError:
        return float("nan"), float("nan")
    statistic = max(0.0, 2 * (both - without))
    return statistic, float(chi2.sf(statistic, 1))


@dataclass(frozen=True)
class Combination:
    """A reference and a network together.

    Attributes:
        summary: pooled, with the combined out-of-fold ``log_hazard``; patients without a score are unlabelled.
        p: of the likelihood-ratio test that the network adds nothing.
    """

    summary: Summary
    p: float


def combined(known: Summary, added: Summary) -> Combination | None:
    """The pooled summaries (with ``fold``) of a survival reference and of a network on the same patients, together.

    Returns:
        ``None`` where a fold leaves fewer than 10 events to the others, or a score is not finite, or no fit converges.
    """
    labelled = known["labelled"].astype(bool) & added["labelled"].astype(bool)
    rows = np.flatnonzero(labelled)
    time, event, fold = (known[name][rows] for name in ("time_days", "event", "fold"))
    scores = np.stack([each["log_hazard"][rows].astype(np.float64) for each in (known, added)], axis=1)
    if not np.isfinite(scores).all() or len(np.unique(fold)) < 2:
        return None
    z = np.stack([standardised_within(column, fold) for column in scores.T], axis=1)
    together = np.zeros(len(rows))
    for value in np.unique(fold):
        others = fold != value
        if event[others].sum() < FEWEST_EVENTS:
            return None
        try:
            coefficients, _ = fit_cox(z[others], time[others], event[others], fold[others], ridge=RIDGE)
        except ValueError:
            return None
        together[~others] = z[~others] @ coefficients
    log_hazard = np.zeros(len(labelled))
    log_hazard[rows] = together
    summary = {**known, "log_hazard": log_hazard, "labelled": labelled}
    return Combination(summary, likelihood_ratio_test(z[:, 0], z[:, 1], time, event, fold)[1])


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit at risk thresholds (T,), in true positives per patient; treating nobody has 0.

    Attributes:
        thresholds: (T,).
        model: (T,), treating those whose predicted risk exceeds the threshold.
        everyone: (T,), treating all.
    """

    thresholds: np.ndarray
    model: np.ndarray
    everyone: np.ndarray


def decision_curve(
    risk: np.ndarray, time: np.ndarray, event: np.ndarray, at: float, thresholds: np.ndarray
) -> DecisionCurve:
    """Net benefit of acting on the predicted risk of an event until ``at``.

    The share of the treated who have the event by then is 1 - Kaplan-Meier among them (Vickers et al. 2008).

    Args:
        risk: (N,), predicted probability.
        time: (N,).
        event: (N,).
        at: horizon, in the unit of ``time``.
        thresholds: (T,), between 0 and 1: the risk from which on the harm of treating is worth it.

    Returns:
        NaN where follow-up ends before the horizon.

    Example:
        >>> risk, time, event = np.array([0.9, 0.8, 0.2, 0.1]), np.array([1.0, 2, 5, 5]), np.array([1, 1, 0, 0])
        >>> decision_curve(risk, time, event, 3.0, np.array([0.5]))
        DecisionCurve(thresholds=array([0.5]), model=array([0.5]), everyone=array([0.]))
    """
    everyone = np.ones(len(time), bool)

    def benefit(treated: np.ndarray, threshold: float) -> float:
        if not treated.any():
            return 0.0
        curve = kaplan_meier(time[treated], event[treated])
        survived = float(curve(min(at, curve.end) if at <= time.max() else at))
        return float(treated.mean() * (1 - survived - survived * threshold / (1 - threshold)))

    return DecisionCurve(
        thresholds,
        np.array([benefit(risk > threshold, threshold) for threshold in thresholds]),
        np.array([benefit(everyone, threshold) for threshold in thresholds]),
    )
