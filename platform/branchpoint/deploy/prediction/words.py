"""A case's result for people and tables: one line of words, and rows of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def summary_line(case: str, result: Mapping[str, Any]) -> str:
    """One line for people.

    Such as ``A12  tumour 48.1 ml [networks 44.0-51.3]; recurrence: percentile 81 [62-90], high risk; 3.4 s``.
    """
    parts = [text for name, one in result["tasks"].items() if (text := _in_words(name, one))]
    return f"{case}  {'; '.join(parts)}; {result['seconds']:.1f} s"


def _in_words(name: str, one: Mapping[str, Any]) -> str:
    if one["kind"] == "segmentation":
        return ", ".join(_size_in_words(entry) for entry in one["classes"] if entry["id"])
    if one["kind"] == "survival":
        if one["percentile"] is None:
            return f"{name}: no percentile ({one['reason']})"
        within = "" if one["low"] is None else f" [{one['low']:.0f}-{one['high']:.0f}]"
        return f"{name}: percentile {one['percentile']:.0f}{within}, {one['group']}"
    if one["kind"] == "regression":
        return f"{name}: {one['value']:.3g} {one['unit']}".rstrip()
    if one["kind"] == "multilabel":
        return f"{name}: {', '.join(one['present']) or 'none'}"
    return f"{name}: {one['class']} ({one['probabilities'][one['class']]:.0%})"


def _size_in_words(entry: Mapping[str, Any]) -> str:
    if "volume_ml" not in entry:
        return f"{entry['label']} {entry['share']:.1%} of the picture"
    within = "" if entry["low"] is None else f" [networks {entry['low']:.1f}-{entry['high']:.1f}]"
    return f"{entry['label']} {entry['volume_ml']:.1f} ml{within}"


def table_rows(case: str, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of ``predictions.csv``: case, task, quantity, value, low, high, unit, fold."""
    return [row for name, one in result["tasks"].items() for row in _rows_of(case, name, one)]


def _rows_of(case: str, task: str, one: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def add(quantity: str, value: Any, low: Any = None, high: Any = None, **more: str) -> None:
        plain = {"case": case, "task": task, "quantity": quantity, "value": value, "low": low, "high": high}
        rows.append({**plain, "unit": "", "fold": "", **more})

    if one["kind"] == "segmentation":
        for entry in one["classes"]:
            if "volume_ml" in entry:
                add(f"{entry['label']} volume", entry["volume_ml"], entry["low"], entry["high"], unit="ml")
            else:
                add(f"{entry['label']} share", entry["share"])
            for key, unit in (("suv_max", "SUV"), ("suv_mean", "SUV"), ("tlg", "ml")):
                if key in entry:
                    add(f"{entry['label']} {key}", entry[key], unit=unit)
    elif one["kind"] == "survival":
        add("percentile", one["percentile"], one["low"], one["high"], unit="%")
        for when, found in one["survival"].items():
            add(f"survival at {when}", found["value"], found["low"], found["high"])
        for network, value in one["log_hazards"].items():
            add("log-hazard", value, fold=network)
    elif one["kind"] == "regression":
        add("value", one["value"], one["low"], one["high"], unit=one["unit"])
    else:
        for label, value in one["probabilities"].items():
            add(f"probability of {label}", value, *(one[end][label] if one[end] else None for end in ("low", "high")))
    return rows
