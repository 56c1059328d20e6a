"""Classes of the test samples: reliability of the probabilities, and for two classes the decision curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from branchpoint.evaluation.classification import confidence, reliability_table
from branchpoint.evaluation.incremental import decision_curve
from branchpoint.report.parts import Part, Plot, Section, Text
from branchpoint.report.plots import DECISION_NOTE, LAYOUT, add_perfect, decision_plot
from branchpoint.tasks.base import Summary

_SHOWN = {"probability": ("as the network says", "#1f6f8b"), "calibrated": ("at the fitted temperature", "#c9a227")}


def class_section(task: str, seeds: Sequence[Summary], names: Sequence[str] = ()) -> Section:
    """Reliability plot and decision curve of the mean probabilities over seeds.

    Args:
        task: its name.
        seeds: pooled summaries of the same labelled samples, one for each seed.
        names: of the classes.
    """
    label = seeds[0]["label"].astype(np.int64)
    means = {name: np.mean([one[name] for one in seeds], axis=0) for name in _SHOWN if name in seeds[0]}
    title = f"Reliability of the classes: {task}"
    if not len(label) or not np.isfinite(means["probability"]).all():
        return Section(title, [Text("No labelled sample, or no finite probability.", note=False)])
    two = means["probability"].shape[1] == 2
    case = (names[1] if len(names) == 2 else "class 1") if two else "the likeliest class"
    parts: list[Part] = [
        Plot(f"reliability-{task}", reliability_plot(means, label, case)),
        Text(
            f"Test samples in bins of the probability of {case}: on the dotted line as many are right as the network "
            "says; the size of a dot grows with its number of samples, which shows under the pointer. The temperature "
            f"was fitted on validation samples.{_whose_probability(len(seeds))}"
        ),
    ]
    if two:
        happened = label == 1
        curve = decision_curve(  # without censoring: who is a case has the event before the horizon, the others after
            means["probability"][:, 1], np.where(happened, 1.0, 3.0), happened, 2.0, np.linspace(0.01, 0.99, 99)
        )
        drawn = decision_plot({"the network": curve}, f"probability of {case} from which on one acts")
        parts += [Plot(f"decision-{task}", drawn), Text(DECISION_NOTE)]
    return Section(title, parts)


def _whose_probability(seeds: int) -> str:
    if seeds == 1:
        return ""
    return (
        f" Probabilities are means over {seeds} networks (seeds), in all plots of this section: those of an ensemble, "
        "while the test figures above are means over the seeds' own figures."
    )


def reliability_plot(probabilities: dict[str, np.ndarray], label: np.ndarray, case: str) -> go.Figure:
    """Observed share against mean probability in bins.

    Args:
        probabilities: kind (``probability``, ``calibrated``) to (N, K).
        label: int (N,).
        case: what the probability is of.
    """
    drawn = go.Figure()
    add_perfect(drawn)
    for kind, values in probabilities.items():
        name, colour = _SHOWN[kind]
        truth = label[:, None] == np.arange(values.shape[1])
        table = reliability_table(*confidence(values.astype(np.float64), truth))
        held = table.count > 0
        count = table.count[held]
        drawn.add_scatter(
            x=table.predicted[held],
            y=table.observed[held],
            text=[f"{n} samples" for n in count],
            mode="lines+markers",
            name=name,
            line={"color": colour},
            marker={"size": 6 + 18 * np.sqrt(count / count.max())},
        )
    drawn.update_layout(**LAYOUT, xaxis_title=f"probability of {case}", yaxis_title="observed share")
    return drawn
