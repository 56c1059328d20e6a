"""A simulated cohort whose hazards are known."""

from __future__ import annotations

import numpy as np


def cox_cohort(count: int = 300, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-hazards, times (days) and events; exponential with a median of 500 days at log-hazard 0, a third censored."""
    rng = np.random.default_rng(seed)
    log_hazard = rng.normal(size=count)
    time = rng.exponential(500 / np.log(2) * np.exp(-log_hazard))
    censored = rng.uniform(100, 2500, count)
    event = time <= censored
    time = np.minimum(time, censored)
    return log_hazard, np.ceil(time / 50) * 50 if ties else time, event


def true_survival(log_hazard: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Probability of no event until ``time`` that the cohort was drawn by."""
    return np.exp(-np.log(2) / 500 * time * np.exp(log_hazard))
