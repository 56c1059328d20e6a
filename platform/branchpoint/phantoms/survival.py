"""Survival that follows from the tumour: a Cox model whose true log-hazard is known.

h(t | x) = h0(t) exp(eta), with a Weibull baseline and eta linear in log tumour volume, log SUVmax and heterogeneity
(Bender, Augustin and Blettner, Stat Med 2005, table II: T = scale * (E / exp(eta)) ** (1 / shape), E exponential).
Nothing else enters the hazard: what keeps the C-index of the true eta below one is chance alone.
"""

from __future__ import annotations

import numpy as np

VOLUME_ML = (9.5, 0.85, 0.9, 75.0)
"""Median, standard deviation of the logarithm, least and largest primary tumour."""
SUV_MAX = (11.5, 0.40, 4.2, 32.0)
"""The same of the largest uptake in the primary tumour."""
EFFECTS = (1.0, 0.85, 0.35)
"""Log-hazard for one standard deviation of log volume, log SUVmax and heterogeneity."""
HETEROGENEITY = (0.45, 0.22)
"""Mean and standard deviation that standardise heterogeneity in the hazard."""
WEIBULL_SHAPE = 1.2
WEIBULL_SCALE_DAYS = 9_000.0
FOLLOW_UP_DAYS = (1300.0, 0.37)
"""Median and standard deviation of the logarithm of the follow-up, before it is fitted to the censoring wanted."""


def log_hazard(volume_ml: np.ndarray, suv_max: np.ndarray, heterogeneity: np.ndarray) -> np.ndarray:
    """True log-hazard (N,); zero for the average patient of the population, whatever the cohort."""
    standardised = (
        np.log(volume_ml / VOLUME_ML[0]) / VOLUME_ML[1],
        np.log(suv_max / SUV_MAX[0]) / SUV_MAX[1],
        (heterogeneity - HETEROGENEITY[0]) / HETEROGENEITY[1],
    )
    return np.asarray(sum(effect * value for effect, value in zip(EFFECTS, standardised, strict=True)))


def observe(
    eta: np.ndarray, exponential: np.ndarray, normal: np.ndarray, censoring: float
) -> tuple[np.ndarray, np.ndarray]:
    """Times and events under a follow-up that is long enough for the censoring wanted.

    Args:
        eta: log-hazards (N,).
        exponential: unit exponential draws (N,), the chance in the time to the event.
        normal: standard normal draws (N,), the chance in the length of the follow-up.
        censoring: share of patients without an event, met as closely as whole patients allow.

    Returns:
        Days (N,) int64 and whether the event happened (N,) bool.

    Raises:
        ValueError: ``censoring`` is not in [0, 1).
    """
    if not 0.0 <= censoring < 1.0:
        raise ValueError(f"censoring is {censoring}: must be in [0, 1), the share of patients without an event")
    event_days = WEIBULL_SCALE_DAYS * (exponential / np.exp(eta)) ** (1.0 / WEIBULL_SHAPE)
    follow_up = FOLLOW_UP_DAYS[0] * np.exp(FOLLOW_UP_DAYS[1] * normal)
    ratio = np.sort(event_days / follow_up)  # a follow-up stretched by more than its ratio sees a patient's event
    events = round((1.0 - censoring) * len(eta))
    below = ratio[events - 1] if events else ratio[0] / 4.0
    above = ratio[events] if events < len(eta) else ratio[-1] * 4.0
    room = above / below  # any stretch in between gives this many events: the one nearest to none is taken
    follow_up = follow_up * np.clip(1.0, below * room**0.1, below * room**0.9)
    event = event_days <= follow_up
    days = np.maximum(np.ceil(np.minimum(event_days, follow_up)), 1.0).astype(np.int64)
    return days, event


def c_index(risk: np.ndarray, days: np.ndarray, event: np.ndarray) -> float:
    """Harrell's C-index of ``risk`` (N,); NaN where no pair can be compared."""
    from sksurv.exceptions import NoComparablePairException
    from sksurv.metrics import concordance_index_censored

    try:
        return float(concordance_index_censored(event.astype(bool), days, risk)[0])
    except (NoComparablePairException, ValueError):
        return float("nan")
