"""Which balancing method did best for what it cost, from the trials of a search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from branchpoint.report.tables import number
from branchpoint.report.words import metric_name

Row = Mapping[str, Any]


def balancing_rows(trials: Sequence[Row], epochs: Sequence[Row], metric: str) -> list[dict[str, str]]:
    """A row for each method of the trials that train two tasks or more, best at equal cost first; none without them.

    Equal cost is the least time that any method's longest trial took: each method is judged by the best ``metric``
    that one of its trials reached within so many seconds of training.

    Args:
        trials: rows of a search, with ``config``, ``metrics`` and costs.
        epochs: rows of the epochs of their latest attempts, with ``seconds``.
        metric: that ranks trials; higher is better.
    """
    by_method: dict[str, list[Row]] = {}
    for trial in trials:
        if trial["state"] in ("COMPLETE", "PRUNED") and (method := _method(trial["config"])):
            by_method.setdefault(method, []).append(trial)
    curves = {trial["trial"]: _curve(trial, epochs, metric) for rows in by_method.values() for trial in rows}
    longest = [max((curves[row["trial"]] or [(0.0, 0.0)])[-1][0] for row in rows) for rows in by_method.values()]
    budget = min((seconds for seconds in longest if seconds > 0), default=0.0)
    found = []
    for method, rows in by_method.items():
        within = [value for row in rows for seconds, value in curves[row["trial"]] if seconds <= budget * (1 + 1e-9)]
        scores = [row["metrics"][metric] for row in rows if row["state"] == "COMPLETE" and metric in row["metrics"]]
        seconds = [row["epoch_seconds"] for row in rows if row["epoch_seconds"]]
        gpu = [row["gpu_seconds"] for row in rows if row["gpu_seconds"]]
        found.append(
            (
                max(within, default=float("-inf")),
                {
                    "method": method,
                    "trials": f"{len(rows)} ({len(scores)} complete)",
                    f"best {metric_name(metric)} within {budget:.3g} s": number(max(within, default=None)),
                    f"best {metric_name(metric)}": number(max(scores, default=None)),
                    "s/epoch, median": number(median(seconds) if seconds else None),
                    "training s": number(sum(curves[row["trial"]][-1][0] for row in rows if curves[row["trial"]])),
                    "GPU s": number(sum(gpu) if gpu else None),
                },
            )
        )
    return [row for _, row in sorted(found, key=lambda entry: -entry[0])]


def _method(config: str) -> str:
    """Of a Config's JSON; empty where fewer than two tasks are trained."""
    plain = json.loads(config)
    trained = [task for task in plain.get("tasks", ()) if task.get("weight", 1.0) > 0]
    return str(plain.get("balancing", {}).get("method", "sum")) if len(trained) > 1 else ""


def _curve(trial: Row, epochs: Sequence[Row], metric: str) -> list[tuple[float, float]]:
    """(seconds of training so far, value) after each epoch of the trial's latest attempt."""
    rows = sorted(
        (row for row in epochs if (row["trial"], row["attempt"]) == (trial["trial"], trial["attempt"])),
        key=lambda row: row["epoch"],
    )
    spent, curve = 0.0, []
    for row in rows:
        spent += row["seconds"] or 0.0
        value = row["metrics"].get(metric)
        if value is not None and value == value:
            curve.append((spent, value))
    return curve
