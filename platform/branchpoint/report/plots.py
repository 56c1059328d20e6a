"""Interactive figures of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

from branchpoint.evaluation.incremental import DecisionCurve
from branchpoint.report.words import metric_name

Row = Mapping[str, Any]

_CURVES = ("#1f6f8b", "#c9a227", "#4f772d", "#b23a48")
_STATE_COLOURS = {"COMPLETE": "#1f6f8b", "PRUNED": "#c9a227", "FAILED": "#b23a48", "INFEASIBLE": "#8d99ae"}
LAYOUT = {
    "template": "plotly_white",
    "height": 420,
    "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
    "legend": {"orientation": "h", "y": -0.2},
}


DECISION_NOTE = (
    "Decision curve (Vickers and Elkin 2006): net benefit, in true positives per patient, of treating those whose "
    "predicted risk exceeds a threshold. A prediction helps where its curve is above treating everyone and nobody (0)."
)


def forest(figures: Sequence[Row], metric: str) -> go.Figure:
    """Test figures of one metric with their intervals, one row for each model and reference."""
    rows = sorted(figures, key=lambda row: row["value"])
    drawn = go.Figure()
    for kind, colour in (("model", "#1f6f8b"), ("reference", "#8d99ae")):
        chosen = [row for row in rows if row["kind"] == kind]
        drawn.add_trace(_marks(chosen, [wrapped(row["label"]) for row in chosen], kind, colour))
    labels = list(dict.fromkeys(wrapped(row["label"]) for row in rows))
    drawn.update_layout(**LAYOUT, xaxis_title=metric_name(metric))
    drawn.update_yaxes(categoryorder="array", categoryarray=labels)
    return _as_rows(drawn, labels)


def differences(figures: Sequence[Row], metric: str) -> go.Figure:
    """Forest plot of differences of one metric with their intervals, and a line at none."""
    rows = [*reversed(figures)]
    labels = [wrapped(row["label"]) for row in rows]
    drawn = go.Figure(_marks(rows, labels, "difference", "#1f6f8b"))
    drawn.add_vline(x=0, line={"color": "#222", "width": 1, "dash": "dot"})
    drawn.update_layout(**LAYOUT, xaxis_title=f"difference of {metric_name(metric)}", showlegend=False)
    return _as_rows(drawn, labels)


def centers(figures: Sequence[Row], metric: str) -> go.Figure:
    """Figures of one metric for each centre with their intervals."""
    rows = sorted(figures, key=lambda row: row["center"], reverse=True)
    places = [wrapped(f"{row['center']} (n={row['n']})") for row in rows]
    drawn = go.Figure(_marks(rows, places, "centre", "#1f6f8b"))
    drawn.update_layout(**LAYOUT, xaxis_title=metric_name(metric), showlegend=False)
    return _as_rows(drawn, list(dict.fromkeys(places)))


def wrapped(label: str, width: int = 44) -> str:
    """Long labels in lines; characters that plotly takes for markup are escaped."""
    return "<br>".join(escape(line, quote=False) for line in wrap(label, width)) or escape(label, quote=False)


def _marks(rows: Sequence[Row], places: Sequence[str], name: str, colour: str) -> go.Scatter:
    """A point with its interval for each of ``rows``, at ``places`` of the vertical axis."""
    return go.Scatter(
        x=[row["value"] for row in rows],
        y=list(places),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [row["high"] - row["value"] for row in rows],
            "arrayminus": [row["value"] - row["low"] for row in rows],
        },
        mode="markers",
        name=name,
        marker={"color": colour, "size": 9},
    )


def _as_rows(drawn: go.Figure, labels: Sequence[str]) -> go.Figure:
    """``drawn`` with room for its wrapped ``labels``."""
    lines = max((label.count("<br>") + 1 for label in labels), default=1)
    drawn.update_layout(height=120 + max(32, 16 * lines + 8) * len(labels), margin_l=300)
    drawn.update_yaxes(tickfont_size=11)
    return drawn


def trade_off(trials: Sequence[Row], first: str, second: str, best: str) -> go.Figure:
    """Each trial at its validation figures of two tasks; the best candidate is ringed."""
    drawn = go.Figure()
    for state, colour in _STATE_COLOURS.items():
        chosen = [t for t in trials if t["state"] == state and first in t["metrics"] and second in t["metrics"]]
        if not chosen:
            continue
        drawn.add_scatter(
            x=[t["metrics"][first] for t in chosen],
            y=[t["metrics"][second] for t in chosen],
            text=[f"trial {t['trial']}" for t in chosen],
            mode="markers",
            name=state.lower(),
            marker={
                "color": colour,
                "size": [15 if t["candidate"] == best else 9 for t in chosen],
                "line": {"width": [3 if t["candidate"] == best else 0 for t in chosen], "color": "#222"},
            },
        )
    drawn.update_layout(**LAYOUT, xaxis_title=metric_name(first), yaxis_title=metric_name(second))
    return drawn


def add_perfect(drawn: go.Figure) -> None:
    """The line on which what is predicted is what happens."""
    drawn.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"color": "#8d99ae", "dash": "dot"})


def decision_plot(curves: Mapping[str, DecisionCurve], threshold: str) -> go.Figure:
    """Net benefit of acting on predictions, on everyone and on nobody, over the threshold.

    Args:
        curves: what is acted on to its curve, all of the same patients; at most four.
        threshold: title of the axis.
    """
    drawn = go.Figure()
    first = next(iter(curves.values()))
    shown = {name: (curve.model, colour) for (name, curve), colour in zip(curves.items(), _CURVES, strict=False)}
    for name, (benefit, colour) in {**shown, "everyone": (first.everyone, "#8d99ae")}.items():
        drawn.add_scatter(x=first.thresholds, y=benefit, mode="lines", name=name, line={"color": colour})
    nobody = {"color": "#222", "dash": "dot"}
    drawn.add_scatter(x=first.thresholds[[0, -1]], y=[0, 0], mode="lines", name="nobody", line=nobody)
    drawn.update_layout(**LAYOUT, xaxis_title=threshold, yaxis_title="net benefit")
    top = float(np.nanmax([*(curve.model.max() for curve in curves.values()), first.everyone.max(), 0.01]))
    drawn.update_yaxes(range=[-0.25 * top, 1.1 * top])
    return drawn


def _when_finished(trial: Row) -> tuple[bool, Any]:
    """Sorts trials that do not say when they finished last."""
    return trial["finished"] is None, trial["finished"] or trial["trial"]


def progress(trials: Sequence[Row], metric: str) -> go.Figure:
    """The search over time: each complete trial, and the best so far."""
    done = sorted((t for t in trials if t["state"] == "COMPLETE" and metric in t["metrics"]), key=_when_finished)
    values = [t["metrics"][metric] for t in done]
    best = [max(values[: i + 1]) for i in range(len(values))]
    order = list(range(1, len(done) + 1))
    drawn = go.Figure()
    names = [f"trial {t['trial']}" for t in done]
    drawn.add_scatter(x=order, y=values, mode="markers", name="trial", text=names, marker={"color": "#1f6f8b"})
    drawn.add_scatter(x=order, y=best, mode="lines", name="best so far", line={"color": "#222", "shape": "hv"})
    drawn.update_layout(**LAYOUT, xaxis_title="finished trials", yaxis_title=metric_name(metric))
    return drawn


def learning_curves(epochs: Sequence[Row], metrics: Sequence[str], names: Mapping[str, str]) -> go.Figure:
    """Metrics over the epochs of chosen trials. ``names`` maps each trial to its name in the legend."""
    drawn = go.Figure()
    dashes = ["solid", "dash", "dot", "dashdot"]
    colours = ["#1f6f8b", "#b23a48", "#c9a227", "#4f772d", "#6d597a", "#8d99ae"]
    for i, (trial, name) in enumerate(names.items()):
        rows = sorted((row for row in epochs if row["trial"] == trial), key=lambda row: row["epoch"])
        for k, metric in enumerate(metrics):
            drawn.add_scatter(
                x=[row["epoch"] for row in rows],
                y=[row["metrics"].get(metric) for row in rows],
                mode="lines",
                name=f"{name}, {metric_name(metric)}",
                line={"dash": dashes[k % len(dashes)], "color": colours[i % len(colours)]},
            )
    drawn.update_layout(**LAYOUT, xaxis_title="epoch")
    return drawn
