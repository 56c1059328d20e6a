"""What finalists cost: size, memory and time, and what the whole study took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from branchpoint.report.parts import Table

Row = Mapping[str, Any]

COLUMNS = ["network", "parameters", "MACs of one image", "peak memory (MB)", "s/epoch", "training (min)", "GPU (min)"]


def cost_table(trials: Sequence[Row], epochs: Sequence[Row], labels: Mapping[str, str], best: str) -> Table | None:
    """A row for each finalist, with the medians over its folds and seeds and the sums of their times.

    Args:
        trials: of a study.
        epochs: of the same, with ``seconds``.
        labels: candidate to its name for readers; others are called by their candidate.
        best: candidate that is marked.
    """
    final = [row for row in trials if row["stage"] == "final" and row["state"] == "COMPLETE"]
    candidates = sorted({row["candidate"] for row in final}, key=lambda c: (c != best, labels.get(c, c)))
    rows = []
    for candidate in candidates:
        runs = [row for row in final if row["candidate"] == candidate]
        rows.append(
            [
                labels.get(candidate, candidate),
                _middle(runs, "parameters", "{:,.0f}"),
                _middle(runs, "macs", "{:.3g}"),
                _middle(runs, "peak_memory_bytes", "{:,.0f}", 1e-6),
                _middle(runs, "epoch_seconds", "{:.3g}"),
                f"{training_seconds(runs, epochs) / 60:.2f}",
                f"{sum(row['gpu_seconds'] or 0.0 for row in runs) / 60:.2f}",
            ]
        )
    return Table("cost", COLUMNS, rows, ["best" if c == best else "" for c in candidates]) if rows else None


def training_seconds(trials: Sequence[Row], epochs: Sequence[Row]) -> float:
    """Seconds that all epochs of ``trials`` took, training and validation."""
    names = {row["trial"] for row in trials}
    return float(sum(row["seconds"] or 0.0 for row in epochs if row["trial"] in names))


def _middle(runs: Sequence[Row], name: str, shown: str, scale: float = 1.0) -> str:
    known = [row[name] * scale for row in runs if row[name]]
    return shown.format(median(known)) if known else "-"
