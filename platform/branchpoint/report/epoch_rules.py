"""Joint against single training under matched rules of choosing the epoch, from what runs record.

A network of several tasks has one epoch for all of them, a network of one task its own: where epochs are chosen, this
alone makes a difference. Every run therefore records what its tasks reach on validation patients under each rule
(``rule/<rule>/<task>/<metric>``, :func:`branchpoint.training.validation.figures_by_rule`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from branchpoint.report.tables import number
from branchpoint.report.words import metric_name

Row = Mapping[str, Any]

RULES = {
    "own_best": "each task at its own best epoch",
    "last": "last epoch",
    "average": "average of the weights (EMA)",
}
COLUMNS = ["task and figure", "rule", "together", "alone", "together minus alone", "runs"]


def trained_tasks(config: str) -> list[str]:
    """Names of the tasks that a Config (JSON) trains for their own sake; auxiliary tasks only help."""
    tasks = json.loads(config).get("tasks", ())
    return [task["name"] for task in tasks if task.get("weight", 1.0) > 0 and not task.get("auxiliary")]


def epoch_rule_rows(trials: Sequence[Row], best: str, primary: Sequence[str]) -> list[list[str]]:
    """A row for each task and rule; see :data:`COLUMNS`.

    Differences are paired over the runs of one fold and seed that both have; their errors are standard errors of the
    mean over these.

    Args:
        trials: rows with ``metrics``; finalists are used.
        best: the recommended candidate; the first finalist of several tasks stands in where it has only one.
        primary: ``<task>/<metric>`` that ranks each task.
    """
    final = [row for row in trials if row["stage"] == "final" and row["state"] == "COMPLETE"]
    tasks = {row["candidate"]: trained_tasks(row["config"]) for row in final}
    joint = next((c for c in sorted(tasks, key=lambda c: c != best) if len(tasks[c]) > 1), None)
    rows = []
    for metric in primary if joint else ():
        task = metric.split("/")[0]
        single = next((candidate for candidate, learned in tasks.items() if learned == [task]), None)
        if single is None or task not in tasks[joint or ""]:
            continue
        for rule, words in RULES.items():
            ours, theirs = (_values(final, candidate, f"rule/{rule}/{metric}") for candidate in (joint, single))
            pairs = np.array([[ours[key], theirs[key]] for key in ours if key in theirs])
            if len(pairs):
                means = [number(float(value)) for value in pairs.mean(0)]
                rows.append([metric_name(metric), words, *means, _difference(pairs), str(len(pairs))])
    return rows


def _values(trials: Sequence[Row], candidate: str | None, metric: str) -> dict[tuple[int, int], float]:
    """(fold, seed) to the figure of a candidate's run, where it is defined."""
    found = {
        (row["fold"], row["seed"]): row["metrics"].get(metric, math.nan)
        for row in trials
        if row["candidate"] == candidate
    }
    return {key: value for key, value in found.items() if not math.isnan(value)}


def _difference(pairs: np.ndarray) -> str:
    differences = pairs[:, 0] - pairs[:, 1]
    error = differences.std(ddof=1) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    return f"{differences.mean():+.3f} ± {number(float(error))}"
