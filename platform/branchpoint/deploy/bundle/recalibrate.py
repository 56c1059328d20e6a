"""A bundle's probabilities fitted to the patients of another place: temperature for classes, Cox model for survival.

What the networks say of each patient stays as it is, and with it ranks, percentiles and risk groups: a temperature
(Guo et al. 2017) and a Cox model with one covariate, the mean z of the networks, with Breslow's baseline (van
Houwelingen 2000) only change which probability belongs to it. Figures after it come from models fitted without
the patient.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.files import MANIFEST, as_json, write_bundle
from branchpoint.deploy.bundle.reference import LEAST_EVENTS, calibrator, survival_at
from branchpoint.deploy.bundle.tasks import TaskInfo
from branchpoint.evaluation.calibration import fit_temperature, scale
from branchpoint.evaluation.classification import brier, confidence, expected_calibration_error
from branchpoint.evaluation.survival import brier_contributions, censoring_distribution

PARTS = 5
"""Each patient's figures after calibration come from a model fitted to the other parts."""
Outcomes = Mapping[str, Mapping[str, str]]
"""Case to column to value."""
Report = dict[str, Any]


def read_outcomes(path: Path, tasks: tuple[TaskInfo, ...]) -> Outcomes:
    """A table with ``id`` and, for each task to calibrate, ``TASK`` (class) or ``TASK_days`` and ``TASK_event`` (0, 1).

    Raises:
        ValueError: it cannot be read, lacks ``id``, or names what the bundle does not predict.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise ValueError(f"--outcomes {path}: {problem}") from None
    columns = set(rows[0]) if rows else set()
    known = {"id"} | {name for task in tasks for name in _columns(task)}
    if "id" not in columns:
        raise ValueError(f"--outcomes {path}: no column 'id'; the columns are id, {', '.join(sorted(known - {'id'}))}")
    if unknown := sorted(str(name) for name in columns - known):
        raise ValueError(f"--outcomes {path}: unknown column {unknown[0]!r}; it may have {', '.join(sorted(known))}")
    if twice := [row["id"] for place, row in enumerate(rows) if row["id"] in {one["id"] for one in rows[:place]}]:
        raise ValueError(f"--outcomes {path}: {twice[0]!r} stands in two rows")
    return {row["id"]: {name: (value or "").strip() for name, value in row.items()} for row in rows}


def _columns(task: TaskInfo) -> tuple[str, ...]:
    if task.kind == "survival":
        return f"{task.name}_days", f"{task.name}_event"
    return (task.name,) if task.kind == "classification" else ()


def recalibrate(
    bundle: Bundle, results: Mapping[str, Mapping[str, Any]], outcomes: Outcomes, out: Path
) -> list[Report]:
    """Write the recalibrated bundle to ``out``; gives what was fitted, and the figures before and after.

    Args:
        bundle: that predicted the patients.
        results: case to its ``result.json``.
        outcomes: of :func:`read_outcomes`.
        out: folder or ``.zip``.

    Raises:
        ValueError: a value is wrong, or a task has too few patients or events.
    """
    columns = set().union(*(set(row) for row in outcomes.values()))
    tasks = [task for task in bundle.tasks if _columns(task) and set(_columns(task)) <= columns]
    if not tasks:
        raise ValueError("--outcomes names no task of the bundle that has probabilities to calibrate")
    reference = {name: dict(one) for name, one in bundle.reference.items()}
    reports = []
    for task in tasks:
        fitted, report = (_survival if task.kind == "survival" else _classes)(task, bundle, results, outcomes)
        reference[task.name] = {**reference.get(task.name, {}), **fitted}
        reports.append(report)
    _write(bundle, reference, reports, out)
    return reports


def _classes(
    task: TaskInfo, bundle: Bundle, results: Mapping[str, Any], outcomes: Outcomes
) -> tuple[dict[str, Any], Report]:
    cases = [case for case in results if outcomes.get(case, {}).get(task.name)]
    for case in cases:
        if outcomes[case][task.name] not in task.labels:
            raise ValueError(f"{case}: {task.name} is {outcomes[case][task.name]!r}: give {', '.join(task.labels)}")
    label = np.array([task.labels.index(outcomes[case][task.name]) for case in cases], int)
    rarest = len(label) - int(np.bincount(label, minlength=1).max()) if len(label) else 0
    _refuse_few(task, rarest, len(cases), "outside the most frequent class")
    found = [results[case]["tasks"][task.name]["probabilities"] for case in cases]
    probability = np.array([[one[name] for name in task.labels] for one in found])
    before = (bundle.reference.get(task.name) or {}).get("temperature", 1.0)
    probability = scale(probability, 1 / before)  # as the networks gave them
    temperature = fit_temperature(probability, label)
    truth = np.eye(len(task.labels), dtype=bool)[label]
    calibrated = _without_the_patient(
        len(cases), lambda rest, part: scale(probability[part], fit_temperature(probability[rest], label[rest]))
    )

    def figures(values: np.ndarray) -> dict[str, float]:
        return {
            "brier": float(brier(values, truth)[0]),
            "ece": float(expected_calibration_error(*confidence(values, truth))[0]),
        }

    report = {
        "task": task.name,
        "patients": len(cases),
        "temperature": temperature,
        "before": figures(scale(probability, before)),
        "after": figures(np.array(calibrated)),
    }
    return {"temperature": temperature}, report


def _survival(
    task: TaskInfo, bundle: Bundle, results: Mapping[str, Any], outcomes: Outcomes
) -> tuple[dict[str, Any], Report]:
    days, happened = _columns(task)
    known = bundle.reference.get(task.name)
    if not known:
        raise ValueError(f"{task.name}: the bundle was made without reference distributions; its risks have no scale")
    cases = [case for case in results if outcomes.get(case, {}).get(days)]
    time = np.array([_number(outcomes[case][days], case, days) for case in cases])
    event = np.array([_number(outcomes[case][happened], case, happened) for case in cases])
    for case, when, value in zip(cases, time, event, strict=True):
        if when <= 0 or value not in (0, 1):
            raise ValueError(f"{case}: {days} must be above 0 and {happened} 0 or 1, not {when:g} and {value:g}")
    event = event.astype(bool)
    _refuse_few(task, int(event.sum()), len(cases), "with the event")
    spread = [list(results[case]["tasks"][task.name]["z"].values()) for case in cases]
    z = np.array([float(np.mean(one)) for one in spread])
    fitted = {**calibrator(z, time, event), "on": "mean z"}
    if fitted.get("coefficient", 0.0) <= 0:
        why = fitted.get("reason", "a higher risk did not go with earlier events here")
        raise ValueError(f"{task.name}: {why}; its risks are of no use for these patients")
    at = float(np.median(time[event]))
    censoring = censoring_distribution(time, event)

    def score(survival: list[float | None]) -> float:
        values = np.array([np.nan if one is None else one for one in survival])[:, None]
        at_times = np.full((len(time), 1), float(censoring(at)))
        parts = brier_contributions(values, time, event, np.array([at]), censoring(time), at_times)
        return float(np.nanmean(parts))

    def refitted(rest: np.ndarray, part: np.ndarray) -> list[float | None]:
        model = calibrator(z[rest], time[rest], event[rest], fewest=1)
        return [None if "reason" in model else survival_at(model, [one], at) for one in z[part]]

    old = known["calibrator"]
    before = None if "reason" in old else score([survival_at(old, one, at) for one in spread])
    report = {
        "task": task.name,
        "patients": len(cases),
        "events": int(event.sum()),
        "coefficient": fitted["coefficient"],
        "coefficient_before": old.get("coefficient"),
        "at_days": at,
        "before": {"brier": before},
        "after": {"brier": score(_without_the_patient(len(cases), refitted))},
    }
    return {"calibrator": fitted}, report


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


def _write(bundle: Bundle, reference: Mapping[str, Any], reports: list[Report], out: Path) -> None:
    from branchpoint.deploy.bundle.example import FOLDER, predict_example

    files = {name: bundle.files.read(name) for name in bundle.files.names() if name != MANIFEST}
    provenance = bundle.files.read_json("provenance.json")
    done = {"of": bundle.digest, "on": datetime.now(UTC).isoformat(timespec="seconds"), "tasks": reports}
    provenance["recalibrated"] = [*provenance.get("recalibrated", ()), done]
    lines = "\n".join(f"- **{one['task']}**: {in_words(one)}" for one in reports)
    files["card.md"] += (
        f"\n## Recalibrated\nProbabilities were fitted to other patients than the study's.\n\n{lines}\n".encode()
    )
    files |= {"reference.json": as_json(reference), "provenance.json": as_json(provenance)}
    manifest = {name: value for name, value in bundle.manifest.items() if name not in ("schema", "files")}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "bundle"
        write_bundle(path, manifest, files)
        files[f"{FOLDER}/expected.json"] = as_json(predict_example(Bundle.open(path)))
    write_bundle(out, manifest, files)


def in_words(report: Report) -> str:
    """One line for people."""
    before, after = report["before"], report["after"]
    patients = f"{report['patients']} patients"
    if "temperature" in report:
        changed = f"Brier score {before['brier']:.3f} -> {after['brier']:.3f}"
        error = f"calibration error {before['ece']:.3f} -> {after['ece']:.3f}"
        return f"{patients}, temperature {report['temperature']:.2f}; {changed}, {error}"
    was = "none" if before["brier"] is None else f"{before['brier']:.3f}"
    fitted = f"{report['events']} events, Cox coefficient {report['coefficient']:.2f}"
    return f"{patients}, {fitted}; Brier score at {report['at_days']:.0f} days {was} -> {after['brier']:.3f}"
