"""A bundle's probabilities fitted to the patients of another place: temperature for classes, Cox model for survival.

What the networks say of each patient stays as it is, and with it ranks, percentiles and risk groups: only which
probability belongs to it changes; see :mod:`branchpoint.deploy.bundle.local_fit`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.files import MANIFEST, as_json, write_bundle
from branchpoint.deploy.bundle.local_fit import Report, fit_classes, fit_survival
from branchpoint.deploy.bundle.outcomes import Outcomes, outcome_columns


def recalibrate(
    bundle: Bundle, results: Mapping[str, Mapping[str, Any]], outcomes: Outcomes, out: Path
) -> list[Report]:
    """Write the recalibrated bundle to ``out``; gives what was fitted, and the figures before and after.

    Args:
        bundle: that predicted the patients.
        results: case to its ``result.json``.
        outcomes: of :func:`branchpoint.deploy.bundle.outcomes.read_outcomes`.
        out: folder or ``.zip``.

    Raises:
        ValueError: a value is wrong, or a task has too few patients or events.
    """
    columns = set().union(*(set(row) for row in outcomes.values()))
    tasks = [task for task in bundle.tasks if outcome_columns(task) and set(outcome_columns(task)) <= columns]
    if not tasks:
        raise ValueError("--outcomes names no task of the bundle that has probabilities to calibrate")
    reference = {name: dict(one) for name, one in bundle.reference.items()}
    reports = []
    for task in tasks:
        fit = fit_survival if task.kind == "survival" else fit_classes
        fitted, report = fit(task, bundle, results, outcomes)
        reference[task.name] = {**reference.get(task.name, {}), **fitted}
        reports.append(report)
    _write(bundle, reference, reports, out)
    return reports


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
