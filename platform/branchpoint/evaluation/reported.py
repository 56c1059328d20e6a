"""Tasks with all metrics that a study reports on test patients, beyond those that rank configurations.

These cost more than a validation after each epoch should, or need the folds together. A survival task adds, over
several folds (NaN where one leaves fewer than 10 events to the others, or beyond what the others' follow-up supports;
see :mod:`branchpoint.evaluation.survival_calibration`):

- ``uno_c``: Uno's C up to the 80th percentile of the event times;
- ``auc_2y``, ``brier_2y``: time-dependent AUC and Brier score at two years;
- ``ipa_2y``: index of prediction accuracy, 1 - Brier score / that of Kaplan-Meier (Kattan and Gerds 2018); 0 is chance;
- ``ibs``: Brier score integrated over the 10th to the 80th percentile of the event times, and ``ibs_kaplan_meier``;
- ``calibration_slope_2y``: 1 is right, below 1 predictions are too extreme;
- ``d_calibration_p``, ``one_calibration_p_2y``: p-values of tests; small means that predictions are not calibrated.

A classification adds ``brier``, ``ece`` and ``pr_auc``, and where validation patients chose a temperature and a
threshold (:func:`branchpoint.evaluation.calibration.with_validation`), ``brier_calibrated``, ``ece_calibrated`` and,
with two classes, ``sensitivity_at_specificity_90`` with the ``specificity_reached`` on test patients.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from branchpoint.config import TaskConfig
from branchpoint.evaluation.classification import (
    average_precision,
    brier,
    confidence,
    expected_calibration_error,
    rates_above,
)
from branchpoint.evaluation.survival import (
    auc_pairs,
    brier_contributions,
    concordance,
    evaluation_times,
    integrated,
    uno_pairs,
)
from branchpoint.evaluation.survival_calibration import (
    OutOfFold,
    calibration_slope,
    d_calibration,
    leave_fold_out,
    one_calibration,
)
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary, Task, mean_of_defined, ratio, select
from branchpoint.tasks.classification import ClassificationTask
from branchpoint.tasks.survival import SurvivalTask

HORIZON_DAYS = 730.5
"""Two years."""
WEIGHTED = ("uno_c", "auc_2y", "brier_2y", "ipa_2y", "ibs", "ibs_kaplan_meier", "calibration_slope_2y")
"""Metrics of survival that are means over patients or pairs, and are resampled."""


def reported_task(config: TaskConfig) -> Task:
    """The task of ``config`` with the metrics above; of other kinds, the task itself."""
    task = build_task(config)
    if isinstance(task, SurvivalTask):
        return ReportedSurvival(task.config)
    return ReportedClassification(task.config) if isinstance(task, ClassificationTask) else task


class ReportedSurvival(SurvivalTask):
    """Survival with calibration and discrimination over time."""

    def metrics(self, summary: Summary) -> dict[str, float]:
        known = select(summary, summary["labelled"].astype(bool))
        found = super().metrics(known)
        if "fold" not in known:
            return found
        model = _out_of_fold(known)
        once = self._weighted(known, model, np.ones((1, len(known["event"])), np.int64))
        return found | {name: float(values[0]) for name, values in once.items()} | _tests(known, model)

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions stay as they are; patients are drawn."""
        rows = summary["labelled"].astype(bool)
        known, counts = select(summary, rows), counts[:, rows]
        found = super().resampled(known, counts)
        return found | self._weighted(known, _out_of_fold(known), counts) if "fold" in known else found

    def bounds(self, metric: str) -> tuple[float, float]:
        return (0.0, 1.0) if metric in ("uno_c", "brier_2y", "ibs", "ibs_kaplan_meier") else super().bounds(metric)

    def _weighted(self, known: Summary, model: OutOfFold | None, counts: np.ndarray) -> dict[str, np.ndarray]:
        if model is None:
            return {name: np.full(len(counts), np.nan) for name in WEIGHTED}
        time, event, fold = known["time_days"].astype(np.float64), known["event"].astype(bool), known["fold"]
        weights, risk = counts.astype(np.float64), known["log_hazard"]
        own = np.nan_to_num(model.censoring_at_own(time))
        times = evaluation_times(time, event)
        scores = [
            _brier(model, survival, time, event, times, weights) for survival in (model.survival, model.kaplan_meier)
        ]
        values = (
            concordance(risk, uno_pairs(time, event, own, times[-1], fold), weights),
            concordance(risk, auc_pairs(time, event, own, HORIZON_DAYS, fold), weights),
            scores[0][:, -1],
            1 - ratio(scores[0][:, -1], scores[1][:, -1]),
            integrated(scores[0][:, :-1], times),
            integrated(scores[1][:, :-1], times),
            calibration_slope(_at_horizon(model), time, event, HORIZON_DAYS, weights),
        )
        return dict(zip(WEIGHTED, values, strict=True))


def _brier(
    model: OutOfFold,
    survival: Callable[[np.ndarray], np.ndarray],
    time: np.ndarray,
    event: np.ndarray,
    times: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """(R, T + 1): Brier scores at ``times`` (T,) and at the horizon."""
    at = np.append(times, HORIZON_DAYS)
    scores = brier_contributions(survival(at), time, event, at, model.censoring_at_own(time), model.censoring(at))
    return ratio(weights @ scores, weights.sum(1)[:, None])


def _tests(known: Summary, model: OutOfFold | None) -> dict[str, float]:
    """p-values of calibration, which are not resampled."""
    found = {"one_calibration_p_2y": float("nan"), "d_calibration_p": float("nan")}
    if model is not None:
        time, event = known["time_days"].astype(np.float64), known["event"].astype(bool)
        found["d_calibration_p"] = d_calibration(model.survival_at_own(time), event)[1]
        if time.max() >= HORIZON_DAYS and np.isfinite(_at_horizon(model)).all():
            found["one_calibration_p_2y"] = one_calibration(_at_horizon(model), time, event, HORIZON_DAYS).p
    return found


def _at_horizon(model: OutOfFold) -> np.ndarray:
    return model.survival(np.array([HORIZON_DAYS]))[:, 0]


def _out_of_fold(known: Summary) -> OutOfFold | None:
    """Calibrated survival of labelled patients; ``None`` where folds or events are too few, or a network diverged."""
    time, event = known["time_days"].astype(np.float64), known["event"]
    if not np.isfinite(known["log_hazard"]).all() or not len(evaluation_times(time, event)):
        return None
    return leave_fold_out(known["log_hazard"].astype(np.float64), time, event, known["fold"])


class ReportedClassification(ClassificationTask):
    """Classes with calibration, precision and recall."""

    def resampled(self, summary: Summary, counts: np.ndarray) -> dict[str, np.ndarray]:
        found = super().resampled(summary, counts)
        rows = summary["labelled"].astype(bool)
        known, weights = select(summary, rows), counts[:, rows].astype(np.float64)
        further = self._further(known, weights)
        diverged = not np.isfinite(known["probability"]).all()
        return found | {name: np.full(len(counts), np.nan) if diverged else values for name, values in further.items()}

    def bounds(self, metric: str) -> tuple[float, float]:
        within = metric.startswith(("ece", "pr_auc")) or (metric.startswith("brier") and self.outputs == 2)
        return (0.0, 1.0) if within else super().bounds(metric)

    def _further(self, known: Summary, weights: np.ndarray) -> dict[str, np.ndarray]:
        probability = known["probability"].astype(np.float64)
        truth = known["label"][:, None] == np.arange(probability.shape[1])
        classes = [1] if probability.shape[1] == 2 else range(probability.shape[1])
        precision = [average_precision(probability[:, k], truth[:, k], weights, known.get("fold")) for k in classes]
        found = {
            "brier": brier(probability, truth, weights),
            "ece": expected_calibration_error(*confidence(probability, truth), weights),
            "pr_auc": mean_of_defined(np.stack(precision, -1)),
        }
        if "calibrated" in known:
            found["brier_calibrated"] = brier(known["calibrated"], truth, weights)
            found["ece_calibrated"] = expected_calibration_error(*confidence(known["calibrated"], truth), weights)
        if "threshold" in known:
            score, chosen = probability[:, 1], known["threshold"]
            rates = rates_above(score, truth[:, 1], chosen, weights)
            undefined = np.isnan(chosen).any()
            for name, values in zip(("sensitivity_at_specificity_90", "specificity_reached"), rates, strict=True):
                found[name] = np.full(len(weights), np.nan) if undefined else values
        return found
