"""Survival of the test patients: Kaplan-Meier by risk group, calibration at fixed horizons, decision curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from branchpoint.deploy.bundle.reference import HORIZONS_DAYS
from branchpoint.evaluation.incremental import combined, decision_curve
from branchpoint.evaluation.survival import at_risk, kaplan_meier, log_rank
from branchpoint.evaluation.survival_calibration import (
    OutOfFold,
    greenwood,
    leave_fold_out,
    one_calibration,
    standardised_within,
)
from branchpoint.report.parts import Part, Plot, Section, Text
from branchpoint.report.plots import DECISION_NOTE, LAYOUT, add_perfect, decision_plot
from branchpoint.tasks.base import Summary

YEAR = 365.25
GROUPS = {"low risk": "#1f6f8b", "high risk": "#b23a48"}
DECISION_DAYS = HORIZONS_DAYS["2 years"]
MOST_THRESHOLD = 0.8
MOST_TICKS = 10
FEWEST = 10
"""Events until a horizon that two groups of calibration, or a decision curve, need."""
_Z = 1.96


def survival_section(task: str, seeds: Sequence[Summary], clinical: Summary | None = None) -> Section:
    """Out-of-fold log-hazards, standardised within each fold; the mean over the networks of several seeds.

    Args:
        task: its name.
        seeds: pooled summaries (with ``fold``) of the same labelled patients, one for each seed.
        clinical: the same of Cox regression on the clinical values alone.
    """
    first = seeds[0]
    risk = np.mean([standardised_within(one["log_hazard"].astype(np.float64), one["fold"]) for one in seeds], axis=0)
    time, event = first["time_days"].astype(np.float64), first["event"].astype(bool)
    title = f"Survival of the test patients: {task}"
    if not event.any() or not np.isfinite(risk).all():
        return Section(title, [Text("No event, or no finite risk: there is nothing to draw.", note=False)])
    high = risk > np.median(risk)
    p = log_rank(time, event, high.astype(int))[1]
    parts: list[Part] = [
        Plot(f"kaplan-meier-{task}", kaplan_meier_plot(time, event, high)),
        Text(
            f"Kaplan-Meier curves with 95 % bands and numbers at risk of {len(time)} patients with {int(event.sum())} "
            f"events, above and below the median predicted risk; log-rank test p = {p:.2g}. {_whose_risk(len(seeds))} "
            "Who died of something else, or left, counts as censored when it "
            "happened, unless the cohort's event says otherwise."
        ),
    ]
    model = leave_fold_out(risk, time, event, first["fold"])
    if model is None:
        said = "Calibration needs at least 10 events outside of each fold; here are fewer, and it is not drawn."
        return Section(title, [*parts, Text(said)])
    models = {"the network": model} | _clinical_models({**first, "log_hazard": risk}, clinical)
    return Section(title, [*parts, *_calibration(task, model, time, event), *_decision(task, models, time, event)])


def _clinical_models(network: Summary, clinical: Summary | None) -> dict[str, OutOfFold]:
    """Clinical values alone, and together with the network, where they are known and can be fitted."""
    if clinical is None or not np.array_equal(clinical["index"], network["index"]):
        return {}
    together = combined(clinical, network)
    if together is None:
        return {}
    fold, time, event = network["fold"], network["time_days"].astype(np.float64), network["event"].astype(bool)
    risks = {
        "clinical values alone": standardised_within(clinical["log_hazard"], fold),
        "clinical values and the network": together.summary["log_hazard"],
    }
    found = {name: leave_fold_out(risk, time, event, fold) for name, risk in risks.items()}
    return {name: model for name, model in found.items() if model is not None}


def _whose_risk(seeds: int) -> str:
    if seeds == 1:
        return "Each patient's risk is by a network that had not seen them."
    return (
        f"Each patient's risk is the mean over {seeds} networks (seeds) that had not seen them, in all plots of this "
        "section. That is an ensemble, which tends to be better than one network; the test figures above are means "
        "over the seeds' own figures."
    )


def kaplan_meier_plot(time: np.ndarray, event: np.ndarray, high: np.ndarray) -> go.Figure:
    """Curves of the low and the high risk group, numbers at risk below.

    Args:
        time: (N,), days.
        event: bool (N,).
        high: bool (N,), in the group of high risk.
    """
    drawn = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.16)
    last = int(time.max() / YEAR)
    years = np.arange(0, last + 1, max(1, -(-last // MOST_TICKS)))
    for (name, colour), rows in zip(GROUPS.items(), (~high, high), strict=True):
        if not rows.any():
            continue
        curve = kaplan_meier(time[rows], event[rows])
        at = np.concatenate([[0.0], curve.times])
        value = np.concatenate([[1.0], curve.values])
        error = np.array([greenwood(time[rows], event[rows], t) for t in at])
        low, top = np.clip(value - _Z * error, 0, 1), np.clip(value + _Z * error, 0, 1)
        step = {"shape": "hv", "color": colour}
        drawn.add_scatter(
            x=at / YEAR, y=top, mode="lines", line={**step, "width": 0}, hoverinfo="skip", showlegend=False
        )
        drawn.add_scatter(
            x=at / YEAR,
            y=low,
            line={**step, "width": 0},
            mode="lines",
            fill="tonexty",
            fillcolor=_faint(colour),
            hoverinfo="skip",
            showlegend=False,
        )
        drawn.add_scatter(x=at / YEAR, y=value, name=name, mode="lines", line=step)
        counts = [str(count) for count in at_risk(time[rows], years * YEAR)]
        texts = {"mode": "text", "text": counts, "textfont": {"color": colour}, "showlegend": False}
        drawn.add_scatter(x=years, y=[name] * len(years), **texts, row=2, col=1)
    drawn.update_layout(**LAYOUT)
    drawn.update_layout(height=480, margin_l=90, legend={"y": 1.08})
    drawn.update_yaxes(title="without event", range=[0, 1.02], row=1, col=1)
    drawn.update_yaxes(title="at risk", range=[1.7, -0.7], showgrid=False, row=2, col=1)
    drawn.update_xaxes(title="years", showticklabels=True, row=1, col=1)
    return drawn


def _faint(colour: str) -> str:
    """``#rrggbb`` as a colour that lets the curve shine through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.15)"


def _calibration(task: str, model: OutOfFold, time: np.ndarray, event: np.ndarray) -> list[Part]:
    """Predicted against observed risk at each horizon that follow-up supports."""
    drawn = go.Figure()
    add_perfect(drawn)
    said = []
    for when, days in HORIZONS_DAYS.items():
        survival = model.survival(np.array([days]))[:, 0]
        if not _supported(survival, time, event, days):
            continue
        table = one_calibration(survival, time, event, days, bins=5)
        error = {"type": "data", "array": _Z * table.error}
        texts = [f"{count} patients" for count in table.count]
        drawn.add_scatter(
            x=table.predicted, y=table.observed, error_y=error, text=texts, mode="lines+markers", name=when
        )
        said.append(f"{when}: p = {table.p:.2g}")
    if not said:
        return [Text(f"No horizon of 1, 2, 3 or 5 years has {FEWEST} events and full follow-up: no calibration plot.")]
    drawn.update_layout(**LAYOUT, xaxis_title="predicted risk", yaxis_title="observed risk (1 - Kaplan-Meier)")
    note = (
        "Calibration: groups of patients by predicted risk of an event until the horizon, with 95 % intervals; on the "
        "dotted line what was predicted happened. Test that all groups agree (a small p says they do not): "
        f"{'; '.join(said)}."
    )
    return [Plot(f"calibration-{task}", drawn), Text(note)]


def _decision(task: str, models: Mapping[str, OutOfFold], time: np.ndarray, event: np.ndarray) -> list[Part]:
    """Net benefit of the network, and beside it of clinical values, where their predictions reach the horizon."""
    thresholds, curves = np.linspace(0.01, MOST_THRESHOLD, 80), {}
    for name, model in models.items():
        survival = model.survival(np.array([DECISION_DAYS]))[:, 0]
        if _supported(survival, time, event, DECISION_DAYS):
            curves[name] = decision_curve(1 - survival, time, event, DECISION_DAYS, thresholds)
    if "the network" not in curves:
        return []
    drawn = decision_plot(curves, "risk of an event within 2 years from which on one treats")
    beside = (
        " Clinical values alone are the Cox regression of the test figures; together with the network they are weighed "
        "by the patients of the other folds."
    )
    return [Plot(f"decision-{task}", drawn), Text(DECISION_NOTE + (beside if len(curves) > 1 else ""))]


def _supported(survival: np.ndarray, time: np.ndarray, event: np.ndarray, days: float) -> bool:
    """Whether there are enough events until a horizon that follow-up reaches."""
    happened = int((event & (time <= days)).sum())
    return bool(days <= time.max() and np.isfinite(survival).all() and happened >= FEWEST)
