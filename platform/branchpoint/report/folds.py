"""Figures fold by fold with mean and standard error over folds, as in the tables of Andrearczyk et al. 2021."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from branchpoint.report.tables import number, print_rows


def fold_rows(figures: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table of one metric: a line for each model and reference, a column for each fold.

    The standard error is that of the mean over folds, which share training patients: it is what the paper gives, and
    smaller than the error over patients and seeds beside the pooled figures.

    Args:
        figures: rows of :class:`branchpoint.report.results.Results`, ``metric`` as ``<task>/<metric>``.
        metric: such as ``survival/c_index``.
    """
    kept = [
        row
        for row in figures
        if row["metric"] == metric and row["fold"] >= 0 and row["kind"] != "difference" and not row.get("center")
    ]
    folds = sorted({row["fold"] for row in kept})
    rows = []
    for label in dict.fromkeys(row["label"] for row in kept):
        values = {row["fold"]: row["value"] for row in kept if row["label"] == label}
        found = [values.get(fold, math.nan) for fold in folds]
        rows.append([label, *map(number, found), mean_and_error(found)])
    return ["", *(f"fold {fold + 1}" for fold in folds), "mean ± standard error"], rows


def mean_and_error(values: Sequence[float]) -> str:
    """``0.695 ± 0.037``, over the folds with a value.

    >>> mean_and_error([0.827, 0.710, 0.627, 0.687, 0.624])
    '0.695 ± 0.037'
    """
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return "-"
    error = known.std(ddof=1) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return f"{number(float(known.mean()))} ± {number(float(error))}"


def print_folds(figures: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> None:
    """One table for each of ``metrics`` that has figures."""
    for metric in metrics:
        columns, rows = fold_rows(figures, metric)
        if rows:
            print_rows(columns, rows, title=f"{metric} on the test patients of each fold")
