"""Where a new patient stands among those that the networks had not learned from.

Log-hazards of the folds' networks have different means and spreads, so they are never averaged raw: each network's
are standardised by its own held-out patients (validation and test), z = (h - mean) / SD, and percentiles are taken
among them. Out-of-fold z of the test patients give the risk groups (median split), their Kaplan-Meier curves, and a Cox
model with z alone whose Breslow baseline turns z into survival probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from branchpoint.evaluation.survival import at_risk, breslow_baseline, kaplan_meier, log_rank
from branchpoint.evaluation.survival_calibration import cox_slope
from branchpoint.tasks.base import Summary, select

LEAST_EVENTS = 10
"""Below this many events no survival probability is given."""
HORIZONS_DAYS = {"1 year": 365.25, "2 years": 730.5, "3 years": 1095.75, "5 years": 1826.25}


@dataclass(frozen=True)
class HeldOut:
    """What one network says of patients it did not learn from.

    Attributes:
        network: its name in the bundle.
        validation, test: task to summary.
    """

    network: str
    validation: Mapping[str, Summary]
    test: Mapping[str, Summary]


def survival_reference(task: str, held_out: Sequence[HeldOut]) -> dict[str, Any]:
    """Plain values about the survival task ``task``, without identifiers."""
    networks: dict[str, Any] = {}
    tested: dict[int, list[tuple[float, float, bool]]] = {}
    for one in held_out:
        values = np.concatenate([one.validation[task]["log_hazard"], one.test[task]["log_hazard"]]).astype(np.float64)
        mean, spread = float(values.mean()), float(values.std())
        networks[one.network] = {"mean": mean, "sd": spread, "log_hazards": np.sort(values).tolist()}
        known = select(one.test[task], one.test[task]["labelled"])
        z = standardised(known["log_hazard"].astype(np.float64), mean, spread)
        for index, value, time, event in zip(known["index"], z, known["time_days"], known["event"], strict=True):
            tested.setdefault(int(index), []).append((float(value), float(time), bool(event)))
    # Several networks (seeds) may have tested one patient: their mean z. Sorted, so that the order names nobody.
    rows = sorted((float(np.mean([z for z, _, _ in found])), found[0][1], found[0][2]) for found in tested.values())
    z, time, event = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 3
    event = event.astype(bool)
    return {
        "networks": networks,
        "out_of_fold": {"z": z.tolist(), "time_days": time.tolist(), "event": event.tolist()},
        "median_z": float(np.median(z)) if len(z) else None,
        "calibrator": calibrator(z, time, event),
        **risk_groups(z, time, event),
    }


def standardised(log_hazards: np.ndarray, mean: float, spread: float) -> np.ndarray:
    """z of ``log_hazards``; 0 where the held-out patients do not differ."""
    return (log_hazards - mean) / spread if spread > 0 else np.zeros_like(log_hazards)


def percentile(value: float, held_out: Sequence[float]) -> float:
    """Share of ``held_out`` below ``value`` in percent; ties count half.

    >>> percentile(2.0, [1.0, 2.0, 3.0, 4.0])
    37.5
    """
    ordered = np.asarray(held_out)
    below, upto = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
    return float((below + upto) / 2 / len(ordered) * 100)


def calibrator(z: np.ndarray, time_days: np.ndarray, event: np.ndarray, fewest: int = LEAST_EVENTS) -> dict[str, Any]:
    """Cox regression on z with Breslow's baseline, or the reason why there is none."""
    if event.sum() < fewest:
        return {"reason": f"{int(event.sum())} events among {len(z)} patients; {fewest} are needed"}
    if np.ptp(z) == 0:
        return {"reason": "the network gives every patient the same risk"}
    coefficient = float(cox_slope(z, time_days, event)[0])
    if not np.isfinite(coefficient):
        return {"reason": "the risk separates all events from the others: no finite coefficient fits"}
    baseline = breslow_baseline(coefficient * z, time_days, event)
    return {
        "coefficient": coefficient,
        "times_days": baseline.times.tolist(),
        "cumulative_hazard": baseline.values.tolist(),
        "events": int(event.sum()),
        "patients": len(z),
    }


def survival_at(calibrated: Mapping[str, Any], z: Sequence[float], time_days: float) -> float | None:
    """Mean over the networks' ``z`` of S(t | z) = exp(-H0(t) exp(coefficient z)); ``None`` after the last follow-up.

    Where it was fitted on the mean z of the networks, S at their mean.
    """
    if "reason" in calibrated or time_days > calibrated["times_days"][-1]:
        return None
    place = int(np.searchsorted(calibrated["times_days"], time_days, "right")) - 1
    hazard = calibrated["cumulative_hazard"][place] if place >= 0 else 0.0
    values = np.array([np.mean(z)]) if calibrated.get("on") == "mean z" else np.asarray(z)
    return float(np.exp(-hazard * np.exp(calibrated["coefficient"] * values)).mean())


def risk_groups(z: np.ndarray, time_days: np.ndarray, event: np.ndarray) -> dict[str, Any]:
    """Kaplan-Meier curves of the patients above the median z and of the others, and the log-rank test between them."""
    high = z > np.median(z) if len(z) else np.zeros(0, bool)
    curves = {}
    for name, group in (("low", ~high), ("high", high)):
        if not group.any():
            continue
        curve = kaplan_meier(time_days[group], event[group])
        left = at_risk(time_days[group], curve.times)
        curves[name] = {
            "times_days": curve.times.tolist(),
            "survival": curve.values.tolist(),
            "at_risk": list(map(int, left)),
        }
    p_value = log_rank(time_days, event, high.astype(int))[1] if len(curves) == 2 else float("nan")
    return {"kaplan_meier": curves, "log_rank_p": p_value if np.isfinite(p_value) else None}
