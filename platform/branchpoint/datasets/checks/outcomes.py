"""Rules over the labels of a whole cohort: enough events and cases for the folds, and times in days."""

from __future__ import annotations

from collections import Counter

import numpy as np

from branchpoint.datasets.cohort import Cohort, SurvivalLabel
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem

MIN_EVENTS_PER_FOLD = 2
"""One event gives a fold's C-index a single row of comparisons."""
MIN_MEDIAN_DAYS = 150.0
"""Follow-up of solid tumours: years. A median of less than five months of days is more likely to be in months."""
MAX_MEDIAN_YEARS = 15.0
"""A smaller median still is in years."""


def outcome_problems(cohort: Cohort, folds: int) -> list[Problem]:
    """Rows of each survival and classification target of ``cohort`` in ``folds``-fold cross-validation."""
    rows = []
    for target, kind in cohort.targets.items():
        labels = [patient.labels[target] for patient in cohort.patients if target in patient.labels]
        if kind == "survival" and labels:
            rows += _survival(target, [label for label in labels if isinstance(label, SurvivalLabel)], folds)
        if kind == "classification" and labels:
            rows += _classes(target, Counter(str(label) for label in labels), folds)
    return rows


def _survival(target: str, labels: list[SurvivalLabel], folds: int) -> list[Problem]:
    rows = []
    events = sum(label.event for label in labels)
    found = f"{events} events in {len(labels)} patients for {folds} folds"
    if events < folds:
        rows.append(problem("too-few-events", "", target, found))
    elif events < MIN_EVENTS_PER_FOLD * folds:
        rows.append(problem("few-events", "", target, found))
    rows += _pairs(target, labels)
    median = float(np.median([label.time_days for label in labels]))
    if median < MIN_MEDIAN_DAYS:
        unit = "years" if median < MAX_MEDIAN_YEARS else "months"
        rows.append(problem("time-unit", "", target, f"a median time of {median:g}: these look like {unit}"))
    return rows


def _pairs(target: str, labels: list[SurvivalLabel]) -> list[Problem]:
    """Rows where a C-index or a Cox model has nothing to compare."""
    happened = [label.time_days for label in labels if label.event]
    if not happened:
        return []  # there are too few events, which is said
    last = max(label.time_days for label in labels)
    censored_with_first = any(not label.event and label.time_days == min(happened) for label in labels)
    if min(happened) == last and not censored_with_first:
        found = f"the first event, at {last:g} days, ends the follow-up of all {len(labels)} patients"
        return [problem("no-comparable-pair", "", target, found)]
    if len(set(happened)) == 1 and len(happened) > 1:
        return [problem("one-event-time", "", target, f"all {len(happened)} events at {happened[0]:g} days")]
    return []


def _classes(target: str, counts: Counter[str], folds: int) -> list[Problem]:
    if len(counts) == 1:
        return [problem("few-cases", "", target, f"class {next(iter(counts))} only")]
    few = [f"{count} of class {name}" for name, count in sorted(counts.items()) if count < folds]
    return [problem("few-cases", "", target, f"{', '.join(few)}, for {folds} folds")] if few else []
