"""What the network's risk adds to what is known without it: clinical values, or volume and uptake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from branchpoint.report import plots
from branchpoint.report.parts import Part, Plot, Section, Table, Text
from branchpoint.report.results import Results
from branchpoint.report.tables import interval, p_value, signed_interval
from branchpoint.report.words import metric_name

Row = Mapping[str, Any]

COLUMNS = ["added to", "metric", "alone", "with the network", "difference", "p (Holm)", "p (likelihood ratio)"]
NOTE = (
    "A Cox model on two out-of-fold scores, that of the known values and the network's risk, against the known values "
    "alone; coefficients for each fold come from the patients of the other folds. The difference is paired over the "
    "same patients; the likelihood-ratio test (stratified by fold) asks whether the network's coefficient is 0. Its "
    "p-value is the median over seeds and is not corrected."
)


def added_to(label: str) -> str:
    """What a model was added to in a difference; empty where the label is of another kind.

    >>> added_to("Cox on age, with best found minus Cox on age")
    'Cox on age'
    """
    first, _, second = label.rpartition(" minus ")
    return second if first.startswith(f"{second}, with ") else ""


def added_value_section(results: Results) -> Section:
    """Difference of the C-index with its interval and tests, for each reference that survival is known by."""
    rows = [row for row in results.tested_differences if added_to(row["label"])]
    if not rows:
        return Section("")
    shown = [{**row, "label": added_to(row["label"])} for row in rows]
    drawn: list[Part] = [
        Plot(
            f"added-{metric.replace('/', '-')}", plots.differences([r for r in shown if r["metric"] == metric], metric)
        )
        for metric in dict.fromkeys(row["metric"] for row in rows)
    ]
    cells = [_cells(results, row) for row in rows]
    return Section("What the network adds", [*drawn, Table("added-value", COLUMNS, cells), Text(NOTE)])


def _cells(results: Results, row: Row) -> Sequence[str]:
    known, together = added_to(row["label"]), row["label"].rpartition(" minus ")[0]
    test = f"{row['metric'].split('/')[0]}/likelihood_ratio_p"
    found = (r["value"] for r in results.differences if (r["label"], r["metric"]) == (row["label"], test))
    values = [_value(results, label, row["metric"]) for label in (known, together)]
    p = p_value(row.get("p_adjusted"))
    return [known, metric_name(row["metric"]), *values, signed_interval(row), p, p_value(next(found, None))]


def _value(results: Results, label: str, metric: str) -> str:
    rows = (row for row in results.pooled_test if (row["label"], row["metric"]) == (label, metric))
    return next(map(interval, rows), "-")
