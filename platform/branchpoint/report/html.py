"""The report of a study: one self-contained HTML file, made from the store alone."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from plotly.offline import get_plotlyjs

from branchpoint.config import SCORE
from branchpoint.report import plots
from branchpoint.report.balancing import balancing_rows
from branchpoint.report.relations import relations_sections
from branchpoint.report.results import Results, load_results
from branchpoint.report.tables import interval, number
from branchpoint.report.words import metric_name

if TYPE_CHECKING:
    from branchpoint.store import Store

Row = Mapping[str, Any]

_TRIAL_COLUMNS = ["trial", "attempt", "fold", "state", metric_name(SCORE), "parameters", "MACs", "peak MB", "s/epoch"]


def write_report(store: Store, study: str, out: Path) -> Path:
    """Write the report of ``study`` to ``out`` and return its absolute path.

    Raises:
        ValueError: the store holds no such study.
    """
    results = load_results(store, study)
    environment = Environment(loader=PackageLoader("branchpoint.report", "."), autoescape=True, trim_blocks=True)
    page = environment.get_template("template.html.jinja").render(_content(results))
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _content(results: Results) -> dict[str, Any]:
    best = results.best
    return {
        "study": results.study,
        "subtitle": results.subtitle,
        "plotly_gzip": base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode(),
        "question": results.question,
        "answer": results.answer(),
        "protocol": results.protocol,
        **_test_section(results),
        **_center_section(results),
        "notes": results.notes,
        "differences": [
            {
                **row,
                "metric": metric_name(row["metric"]),
                "text": interval(row),
                "p_text": number(row.get("p_adjusted")),
            }
            for row in results.tested_differences
        ],
        "resampled": results.resampled,
        "counts": _counts(results.search_trials),
        "search_plots": _search_plots(results),
        "curves": _curves(results),
        "balancing": balancing_rows(results.search_trials, results.epochs, SCORE),
        "relations": [
            {**vars(section), "maps": [_html(figure) for figure in section.maps]}
            for section in relations_sections(results.affinities, results.proposals)
        ],
        "drawing": results.drawing(),
        "description": results.description(),
        "trial_columns": _TRIAL_COLUMNS,
        "trial_rows": [_trial_row(row, results.best_candidate) for row in results.search_trials],
        "failures": [row for row in results.trials if row["state"] in ("FAILED", "INFEASIBLE", "PRUNED")],
        "excluded": results.excluded,
        "left_out": sorted(results.left_out.items()),
        "config": json.dumps(json.loads(best["config"]), indent=1) if best else "none yet",
        "versions": ", ".join(f"{name} {version}" for name, version in (best or {}).get("versions", {}).items()),
    }


@dataclass(frozen=True)
class _ResultRow:
    label: str
    css: str
    cells: Sequence[str]
    n: str


def _test_section(results: Results) -> dict[str, Any]:
    """The tasks' primary metrics as one table, every metric of each row as another, and forest plots of the first."""
    pooled = results.pooled_test
    metrics = list(dict.fromkeys(row["metric"] for row in pooled))
    primary = [metric for metric in results.primary_metrics if metric in metrics]
    rows, further = [], []
    ranked = sorted(pooled, key=lambda row: (row["candidate"] != results.best_candidate, row["kind"] != "model"))
    for label in dict.fromkeys(row["label"] for row in ranked):
        by_metric = {row["metric"]: row for row in pooled if row["label"] == label}
        first = next(iter(by_metric.values()))
        css = "best" if first["candidate"] == results.best_candidate else first["kind"]
        cells = [interval(by_metric[metric]) if metric in by_metric else "" for metric in primary]
        counts = sorted({by_metric[metric]["n"] for metric in primary if metric in by_metric}) or [0]
        row = _ResultRow(label, css, cells, "-".join(str(n) for n in dict.fromkeys((counts[0], counts[-1]))))
        rows += [row] if any(cells) else []
        others = [(metric_name(m), _figure(by_metric[m])) for m in metrics if m in by_metric and m not in primary]
        further += [(label, others)] if others else []
    return {
        "result_metrics": [metric_name(metric) for metric in primary],
        "result_rows": rows,
        "further_figures": further,
        "forests": [_html(plots.forest([r for r in pooled if r["metric"] == m], m)) for m in primary],
    }


def _figure(row: Row) -> str:
    """A value with its interval; counts and p-values have none."""
    name = row["metric"].split("/")[-1]
    if name.startswith("n_") or name == "n":
        return f"{row['value']:.0f}"
    return number(row["value"]) if name.endswith(("_p", "_p_2y")) else interval(row)


def _center_section(results: Results) -> dict[str, Any]:
    """Ranking metrics of every model, a column for each centre."""
    rows = [row for row in results.by_center if row["metric"] in results.primary_metrics]
    centers = sorted({row["center"] for row in rows})
    lines = []
    for label, metric in dict.fromkeys((row["label"], row["metric"]) for row in rows):
        of_center = {row["center"]: row for row in rows if (row["label"], row["metric"]) == (label, metric)}
        cells = [f"{interval(of_center[c])} (n={of_center[c]['n']})" if c in of_center else "" for c in centers]
        lines.append({"label": label, "metric": metric_name(metric), "cells": cells})
    return {"centers": centers, "center_rows": lines}


def _counts(trials: Sequence[Row]) -> str:
    counts = Counter(row["state"] for row in trials)
    return f"{len(trials)} trials: " + ", ".join(f"{n} {state.lower()}" for state, n in counts.most_common())


def _search_plots(results: Results) -> list[str]:
    drawn = [_html(plots.progress(results.search_trials, SCORE))]
    primary = [f"validation/{metric}" for metric in results.primary_metrics]
    for i, first in enumerate(primary):
        drawn += [
            _html(plots.trade_off(results.search_trials, first, second, results.best_candidate))
            for second in primary[i + 1 :]
        ]
    return drawn


def _curves(results: Results) -> list[str]:
    names = results.curve_names()
    if not names:
        return []
    losses = plots.learning_curves(results.epochs, ["train/loss", "validation/loss"], names)
    figures = plots.learning_curves(results.epochs, [f"validation/{m}" for m in results.primary_metrics], names)
    shown = [row["metrics"] for row in results.epochs if row["trial"] in names]
    weights = sorted({name for metrics in shown for name in metrics if name.endswith("/weight")})
    balance = [plots.learning_curves(results.epochs, weights, names)] if len(weights) > 1 else []
    return [_html(drawn) for drawn in (losses, figures, *balance)]


def _trial_row(row: Row, best: str) -> dict[str, Any]:
    peak = row["peak_memory_bytes"]
    return {
        "css": "best" if row["candidate"] == best else "",
        "cells": [
            row["trial"],
            row["attempt"],
            row["fold"],
            row["state"],
            number(row["metrics"].get(SCORE)),
            f"{row['parameters']:,}" if row["parameters"] else "-",
            f"{row['macs']:.3g}" if row["macs"] else "-",
            f"{peak / 1e6:.0f}" if peak else "-",
            number(row["epoch_seconds"]),
        ],
    }


def _html(figure: go.Figure) -> str:
    """The figure as data, which the page draws once its copy of plotly is unpacked."""
    data = figure.to_json().replace("<", "\\u003c")
    height = figure.layout.height or 420
    return f'<div class="plot" style="height:{height}px"><script type="application/json">{data}</script></div>'
