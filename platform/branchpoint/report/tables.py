"""Tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from branchpoint.config import SCORE
from branchpoint.report.words import metric_name

if TYPE_CHECKING:
    import pyarrow as pa


_CELL_LENGTH = 60
SMALLEST_P = 0.001
_INTERVAL = ("value", "low", "high")


def number(value: float | None) -> str:
    """Three decimals; a dash where there is no value."""
    return "-" if _unknown(value) else f"{value:.3f}"


def p_value(value: float | None) -> str:
    """Three decimals, or that it is smaller.

    >>> [p_value(0.0342), p_value(2e-5), p_value(None)]
    ['0.034', '<0.001', '-']
    """
    return "<0.001" if value is not None and value < SMALLEST_P else number(value)


def interval(row: Mapping[str, Any]) -> str:
    """``0.712 [0.633, 0.781]`` of a figure's row."""
    return f"{number(row['value'])} [{number(row['low'])}, {number(row['high'])}]"


def signed_interval(row: Mapping[str, Any]) -> str:
    """``+0.032 [-0.017, +0.082]`` of a difference's row."""
    value, low, high = (number(row[name]) if _unknown(row[name]) else f"{row[name]:+.3f}" for name in _INTERVAL)
    return f"{value} [{low}, {high}]"


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """A plain table; full width where the output is not a terminal, so that pipes keep every column."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    # Text, not str: names may hold brackets, which Rich would take for markup.
    table = Table(title=Text(title) if title else None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(Text(column))
    for row in rows:
        table.add_row(*(Text(cell or "") for cell in row))  # rows of other versions may lack a text
    console.print(table)


def print_table(table: pa.Table) -> None:
    """An Arrow table; long cells are cut."""
    rows = ([_cell(value) for value in row.values()] for row in table.to_pylist())
    print_rows(table.column_names, rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    text = "" if value is None else str(value)
    return text if len(text) <= _CELL_LENGTH else text[: _CELL_LENGTH - 1] + "…"


def print_trials(table: pa.Table) -> None:
    """Trials with state, score and, where they did not complete, the reason."""
    rows = (
        (
            row["trial"],
            row["stage"],
            str(row["fold"]),
            row["state"],
            number(dict(row["metrics"] or {}).get(SCORE)),
            str(row["parameters"] or "-"),
            number(row["epoch_seconds"]),
            _cell(row["reason"]),
        )
        for row in table.to_pylist()
    )
    columns = ["trial", "stage", "fold", "state", metric_name(SCORE), "parameters", "s/epoch", "reason"]
    print_rows(columns, rows)


def print_best(rows: Sequence[Mapping[str, Any]], ranked_by: str, metrics: Sequence[str]) -> None:
    """The best trials: how they rank, each task on validation patients, the network and its cost.

    Args:
        rows: trials, best first, as :meth:`branchpoint.store.Store.best` gives them.
        ranked_by: metric that ranks them.
        metrics: ``<task>/<metric>``, a column each.
    """
    columns = [metric for metric in metrics if f"validation/{metric}" != ranked_by]
    print_rows(
        [
            "rank",
            metric_name(ranked_by),
            *map(metric_name, columns),
            "parameters",
            "MACs",
            "s/epoch",
            "trial",
            "candidate",
        ],
        (
            (
                str(rank),
                number(row["value"]),
                *(number(row["metrics"].get(f"validation/{metric}")) for metric in columns),
                f"{row['parameters']:,}" if row["parameters"] else "-",
                f"{row['macs']:.3g}" if row["macs"] else "-",
                number(row["epoch_seconds"]),
                row["trial"],
                row["candidate"],
            )
            for rank, row in enumerate(rows, 1)
        ),
        title="best configurations, by their figures on validation patients",
    )


def print_test_figures(figures: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> None:
    """Pooled test figures of models and references, and paired differences, one row each."""
    rows, drawn = [], []
    for label in dict.fromkeys(row["label"] for row in figures):
        by_metric = {row["metric"]: row for row in figures if row["label"] == label}
        first = next(iter(by_metric.values()))
        shown = [interval(by_metric[metric]) if metric in by_metric else "" for metric in metrics]
        if any(shown):
            drawn += [row.get("resampled") or "" for metric, row in by_metric.items() if metric in metrics]
            rows.append([label, first["kind"], *shown, str(max(row["n"] for row in by_metric.values()))])
    if rows:
        print_rows(
            ["", "kind", *map(metric_name, metrics), "n"],
            rows,
            title="test figures over the folds, 95 % bootstrap intervals",
        )
        print(f"resampled for the intervals: {'; '.join(dict.fromkeys(filter(None, drawn))) or 'not recorded'}")
