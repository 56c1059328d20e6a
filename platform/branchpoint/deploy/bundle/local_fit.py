"""A temperature or a Cox model fitted to patients whose outcomes are known, and figures of fits without the patient.

Classes get a temperature (Guo et al. 2017, section 4.2); survival a Cox model with one covariate, the mean z of the
networks, with Breslow's baseline (van Houwelingen 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.outcomes import Outcomes, outcome_columns
from branchpoint.deploy.bundle.reference import LEAST_EVENTS, calibrator, survival_at
from branchpoint.deploy.bundle.tasks import TaskInfo
from branchpoint.evaluation.calibration import fit_temperature, scale
from branchpoint.evaluation.classification import brier, confidence, expected_calibration_error
from branchpoint.evaluation.survival import brier_contributions, censoring_distribution

PARTS = 5
"""Each patient's figures after calibration come from a model fitted to the other parts."""
Report = dict[str, Any]
"""Plain values: the task, what was fitted, and figures before and after."""


def fit_classes(
    task: TaskInfo, bundle: Bundle, results: Mapping[str, Any], outcomes: Outcomes
) -> tuple[dict[str, Any], Report]:
    """A temperature for the probabilities of a classification.

    Args:
        task: a classification.
        bundle: that predicted the patients; its own temperature is undone first.
        results: case to its ``result.json``.
        outcomes: case to its class, in a column with the name of the task; cases without one take no part.

    Returns:
        ``temperature`` for the bundle's reference, and the report: Brier score and expected calibration error.

    Raises:
        ValueError: a class is unknown, or too few patients are outside the most frequent one.
    """
    cases = [case for case in results if outcomes.get(case, {}).get(task.name)]
    label = _labels(task, {case: outcomes[case][task.name] for case in cases})
    found = [results[case]["tasks"][task.name]["probabilities"] for case in cases]
    probability = np.array([[one[name] for name in task.labels] for one in found])
    before = (bundle.reference.get(task.name) or {}).get("temperature", 1.0)
    probability = scale(probability, 1 / before)  # as the networks gave them
    temperature = fit_temperature(probability, label)
    truth = np.eye(len(task.labels), dtype=bool)[label]
    calibrated = _without_the_patient(
        len(cases), lambda rest, part: scale(probability[part], fit_temperature(probability[rest], label[rest]))
    )
    report = {
        "task": task.name,
        "patients": len(cases),
        "temperature": temperature,
        "before": _class_figures(scale(probability, before), truth),
        "after": _class_figures(np.array(calibrated), truth),
    }
    return {"temperature": temperature}, report


def _labels(task: TaskInfo, named: Mapping[str, str]) -> np.ndarray:
    """(N,) class ids of case to class."""
    for case, name in named.items():
        if name not in task.labels:
            raise ValueError(f"{case}: {task.name} is {name!r}: give {', '.join(task.labels)}")
    label = np.array([task.labels.index(name) for name in named.values()], int)
    rarest = len(label) - int(np.bincount(label, minlength=1).max()) if len(label) else 0
    _refuse_few(task, rarest, len(label), "outside the most frequent class")
    return label


def _class_figures(probability: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Of probabilities (N, K) and one-hot truth (N, K)."""
    return {
        "brier": float(brier(probability, truth)[0]),
        "ece": float(expected_calibration_error(*confidence(probability, truth))[0]),
    }


@dataclass(frozen=True)
class _Followed:
    """Patients with known survival.

    Attributes:
        z: (N,) mean over the networks of the standardised log-hazard.
        by_network: z of each network, by patient.
        time, event: (N,) days, and whether the event happened then.
    """

    z: np.ndarray
    by_network: Sequence[Sequence[float]]
    time: np.ndarray
    event: np.ndarray

    @property
    def at_days(self) -> float:
        """Median time of the events, at which survival is scored."""
        return float(np.median(self.time[self.event]))

    def score(self, survival: Sequence[float | None]) -> float:
        """Brier score of S(:attr:`at_days`), weighted by inverse probability of censoring; ``None``: left out."""
        censoring = censoring_distribution(self.time, self.event)
        values = np.array([np.nan if one is None else one for one in survival])[:, None]
        at_times = np.full((len(self.time), 1), float(censoring(self.at_days)))
        parts = brier_contributions(
            values, self.time, self.event, np.array([self.at_days]), censoring(self.time), at_times
        )
        return float(np.nanmean(parts))

    def predicted_without_the_patient(self) -> list[float | None]:
        """S(:attr:`at_days`) of each patient by models of the others."""

        def refitted(rest: np.ndarray, part: np.ndarray) -> list[float | None]:
            model = calibrator(self.z[rest], self.time[rest], self.event[rest], fewest=1)
            return [None if "reason" in model else survival_at(model, [one], self.at_days) for one in self.z[part]]

        return _without_the_patient(len(self.z), refitted)


def fit_survival(
    task: TaskInfo, bundle: Bundle, results: Mapping[str, Any], outcomes: Outcomes
) -> tuple[dict[str, Any], Report]:
    """A Cox model of the networks' mean z.

    Args:
        task: a survival task.
        bundle: that predicted the patients.
        results: case to its ``result.json``.
        outcomes: case to ``TASK_days`` and ``TASK_event`` (0 or 1); cases without days take no part.

    Returns:
        ``calibrator`` for the bundle's reference, and the report: Brier score at the median time of the events.

    Raises:
        ValueError: a value is wrong, events are too few, or a higher risk did not go with earlier events.
    """
    known = bundle.reference.get(task.name)
    if not known:
        raise ValueError(f"{task.name}: the bundle was made without reference distributions; its risks have no scale")
    followed = _followed(task, results, outcomes)
    events = int(followed.event.sum())
    _refuse_few(task, events, len(followed.z), "with the event")
    fitted = {**calibrator(followed.z, followed.time, followed.event), "on": "mean z"}
    if fitted.get("coefficient", 0.0) <= 0:
        why = fitted.get("reason", "a higher risk did not go with earlier events here")
        raise ValueError(f"{task.name}: {why}; its risks are of no use for these patients")
    at, old = followed.at_days, known["calibrator"]
    before = None if "reason" in old else followed.score([survival_at(old, one, at) for one in followed.by_network])
    report = {
        "task": task.name,
        "patients": len(followed.z),
        "events": events,
        "coefficient": fitted["coefficient"],
        "coefficient_before": old.get("coefficient"),
        "at_days": at,
        "before": {"brier": before},
        "after": {"brier": followed.score(followed.predicted_without_the_patient())},
    }
    return {"calibrator": fitted}, report


def _followed(task: TaskInfo, results: Mapping[str, Any], outcomes: Outcomes) -> _Followed:
    days, happened = outcome_columns(task)
    cases = [case for case in results if outcomes.get(case, {}).get(days)]
    time = np.array([_number(outcomes[case][days], case, days) for case in cases])
    event = np.array([_number(outcomes[case].get(happened, ""), case, happened) for case in cases])
    for case, when, value in zip(cases, time, event, strict=True):
        if when <= 0 or value not in (0, 1):
            raise ValueError(f"{case}: {days} must be above 0 and {happened} 0 or 1, not {when:g} and {value:g}")
    by_network = [list(results[case]["tasks"][task.name]["z"].values()) for case in cases]
    z = np.array([float(np.mean(one)) for one in by_network])
    return _Followed(z, by_network, time, event.astype(bool))


def _refuse_few(task: TaskInfo, count: int, patients: int, what: str) -> None:
    if count < LEAST_EVENTS:
        raise ValueError(f"{task.name}: {count} of {patients} patients {what}; {LEAST_EVENTS} are needed to calibrate")


def _number(text: str, case: str, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{case}: {column} is {text!r}: give a number") from None


def _without_the_patient(count: int, predict: Callable[[np.ndarray, np.ndarray], Any]) -> list[Any]:
    """What models fitted to the other parts say of each patient."""
    part_of = np.random.default_rng(0).permutation(count) % PARTS
    found: list[Any] = [None] * count
    for number in range(PARTS):
        part, rest = np.flatnonzero(part_of == number), np.flatnonzero(part_of != number)
        for place, value in zip(part, predict(rest, part), strict=True):
            found[place] = value
    return found
