"""Rules over the labels of a whole cohort: enough events and cases for the folds, and times in days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from branchpoint.datasets.cohort import Cohort, Label, PresenceLabel, SurvivalLabel
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem

MIN_EVENTS_PER_FOLD = 2
"""One event gives a fold's C-index a single row of comparisons."""
MIN_MEDIAN_DAYS = 150.0
"""Follow-up of solid tumours: years. A median of less than five months of days is more likely to be in months."""
MAX_MEDIAN_YEARS = 15.0
"""A smaller median still is in years."""


def outcome_problems(cohort: Cohort, folds: int) -> list[Problem]:
    """Rows of each target of ``cohort`` but masks, in ``folds``-fold cross-validation and in its fixed parts."""
    rows = []
    for target, kind in cohort.targets.items():
        labels = {patient.id: patient.labels[target] for patient in cohort.patients if target in patient.labels}
        names = cohort.class_names.get(target, ())
        if kind == "survival" and labels:
            known = {name: label for name, label in labels.items() if isinstance(label, SurvivalLabel)}
            rows += _survival(target, list(known.values()), folds) + _parts(target, known, cohort)
        elif kind == "classification" and labels:
            counts = Counter({number: 0 for number in range(len(names))})
            counts.update(label for label in labels.values() if isinstance(label, int))
            rows += _classes(target, counts, folds)
        elif kind in ("regression", "multilabel") and len(labels) > 1:
            rows += _constants(target, list(labels.values()), names)
    return rows


def _survival(target: str, labels: list[SurvivalLabel], folds: int) -> list[Problem]:
    rows = []
    events = sum(label.event for label in labels)
    found = f"{events} events in {len(labels)} patients for {folds} folds"
    if events < folds:
        rows.append(problem("too-few-events", "", target, found))
    elif events < MIN_EVENTS_PER_FOLD * folds:
        rows.append(problem("few-events", "", target, found))
    rows += _pairs(target, labels, folds)
    median = float(np.median([label.time_days for label in labels]))
    if median < MIN_MEDIAN_DAYS:
        unit = "years" if median < MAX_MEDIAN_YEARS else "months"
        rows.append(problem("time-unit", "", target, f"a median time of {median:g}: these look like {unit}"))
    return rows


def _pairs(target: str, labels: list[SurvivalLabel], folds: int) -> list[Problem]:
    """Rows where a C-index or a Cox model has nothing to compare, over all or in one of the folds."""
    happened = [label.time_days for label in labels if label.event]
    if not happened:
        return []  # there are too few events, which is said
    pairs = separate_pairs(labels, folds)
    if not pairs:
        last = max(label.time_days for label in labels)
        found = f"the first event, at {last:g} days, ends the follow-up of all {len(labels)} patients"
        return [problem("no-comparable-pair", "", target, found)]
    rows = []
    if pairs < folds <= len(happened):
        found = f"{pairs} of {folds} folds can have one: most events are the last that was seen of anybody"
        rows.append(problem("few-pairs", "", target, found))
    if len(set(happened)) == 1 and len(happened) > 1:
        rows.append(problem("one-event-time", "", target, f"all {len(happened)} events at {happened[0]:g} days"))
    return rows


def separate_pairs(labels: Sequence[SurvivalLabel], most: int) -> int:
    """How many folds, up to ``most``, can each have an event and another patient who was followed for longer.

    The earliest events and those of the others who were followed longest serve best, matched in the order of time. Of
    two equal times, the censored one counts as longer (Harrell's C).
    """
    ordered = sorted(labels, key=lambda label: (label.time_days, not label.event))
    events = [place for place, label in enumerate(ordered) if label.event]
    for count in range(min(most, len(events), len(ordered) // 2), 0, -1):
        first = set(events[:count])
        later = [place for place in range(len(ordered)) if place not in first][-count:]
        if all(_precedes(ordered[a], ordered[b]) for a, b in zip(sorted(first), later, strict=True)):
            return count
    return 0


def _precedes(event: SurvivalLabel, other: SurvivalLabel) -> bool:
    return event.time_days < other.time_days or (event.time_days == other.time_days and not other.event)


def _parts(target: str, labels: Mapping[str, SurvivalLabel], cohort: Cohort) -> list[Problem]:
    """Rows of fixed splits whose test patients cannot be compared."""
    rows = []
    for split, parts in cohort.splits.items():
        tested = [label for name, label in labels.items() if parts.get(name) == "test"]
        if tested and not separate_pairs(tested, 1):
            found = f"none among the {len(tested)} test patients of the split {split!r}"
            rows.append(problem("no-comparable-pair", "", target, found))
    return rows


def _classes(target: str, counts: Counter[int], folds: int) -> list[Problem]:
    seen = [name for name, count in counts.items() if count]
    if len(seen) == 1:
        return [problem("few-cases", "", target, f"class {seen[0]} only")]
    few = [f"{count} of class {name}" for name, count in sorted(counts.items()) if count < folds]
    return [problem("few-cases", "", target, f"{', '.join(few)}, for {folds} folds")] if few else []


def _constants(target: str, labels: Sequence[Label], names: Sequence[str]) -> list[Problem]:
    """Rows of numbers, and of labels of several, that are the same for everybody."""
    if isinstance(labels[0], PresenceLabel):
        return []  # found when masks are prepared
    if not isinstance(labels[0], tuple):
        return [problem("constant-target", "", target, f"{labels[0]} for all")] if len(set(labels)) == 1 else []
    rows = []
    for place, values in enumerate(zip(*labels, strict=True)):
        if len(set(values)) == 1:
            name = names[place] if place < len(names) else str(place)
            rows.append(problem("constant-target", "", target, f"{name}: {values[0]} for all {len(values)}"))
    return rows
