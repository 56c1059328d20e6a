"""``branchpoint front``: the trials of a study that no other one beats in several objectives at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from branchpoint.commands.options import JsonOption, StoreOption, StudyOption, chosen_study

if TYPE_CHECKING:
    import numpy as np

COSTS = ("parameters", "macs", "peak_memory_bytes", "epoch_seconds", "gpu_seconds")
"""Columns of a trial of which less is better."""
LESS_IS_BETTER = ("loss", "brier", "ece", "hd95", "mae", "rmse", "ibs", "false_positive")
"""How names of metrics begin of which less is better."""


def front(
    store: StoreOption = "results",
    study: StudyOption = None,
    by: Annotated[
        str,
        typer.Option(
            help="Objectives, separated by commas: `score`, validation metrics such as `tumour/dice`, or costs: "
            + ", ".join(COSTS)
            + "."
        ),
    ] = "score,parameters",
    as_json: JsonOption = False,
) -> None:
    """Show the complete trials of a search that no other trial beats in several objectives at once (Pareto front).

    The hypervolume is the share that the front dominates of the box from the worst to the best value of each objective,
    costs on a logarithmic scale.
    """
    from branchpoint.evaluation.pareto import non_dominated
    from branchpoint.report.tables import number, print_rows
    from branchpoint.report.words import metric_name
    from branchpoint.store import Store

    opened, objectives = Store(store), [name.strip() for name in by.split(",") if name.strip()]
    study = chosen_study(opened, study)
    rows = [row for row in opened.trials(study).to_pylist() if (row["stage"], row["state"]) == ("search", "COMPLETE")]
    values = _values(rows, objectives)
    goodness = _goodness(values, objectives)
    kept = sorted(non_dominated(goodness).nonzero()[0].tolist(), key=lambda place: -goodness[place, 0])
    share = _dominated_share(goodness)
    found = [
        {"trial": rows[place]["trial"], **dict(zip(objectives, values[place].tolist(), strict=True))} for place in kept
    ]
    if as_json:
        print(json.dumps({"study": study, "front": found, "hypervolume": share}, indent=2))
        return

    def cell(name: str, value: float) -> str:
        return f"{value:,.0f}" if name in COSTS[:3] else number(value)

    table = [[*(cell(name, point[name]) for name in objectives), point["trial"]] for point in found]
    print_rows([*map(metric_name, objectives), "trial"], table)
    print(f"{len(kept)} of {len(rows)} complete trials; hypervolume {share:.3f}")


def _values(rows: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> np.ndarray:
    """(trials, objectives); NaN where a trial lacks one.

    Raises:
        ValueError: no trial has one of the objectives.
    """
    import numpy as np

    metrics = [dict(row["metrics"] or {}) for row in rows]

    def value(place: int, name: str) -> float:
        found = rows[place][name] if name in COSTS else metrics[place].get(f"validation/{name}")
        return float("nan") if found is None else float(found)

    values = np.array([[value(place, name) for name in objectives] for place in range(len(rows))])
    if not objectives:
        raise ValueError("--by names no objective: give some, such as --by score,parameters")
    if not rows:
        raise ValueError("no trial of the search is complete yet")
    for place, name in enumerate(objectives):
        if np.isnan(values[:, place]).all():
            names = {key for each in metrics for key in each if key.startswith("validation/")}
            known = [*sorted(name.removeprefix("validation/") for name in names), *COSTS]
            raise ValueError(f"--by: no complete trial has {name!r}; they have {', '.join(known)}")
    return values


def _goodness(values: np.ndarray, objectives: Sequence[str]) -> np.ndarray:
    """``values`` so that greater is better: logarithms of costs with the sign changed, errors with the sign changed."""
    import numpy as np

    found = values.copy()
    for place, name in enumerate(objectives):
        if name in COSTS:
            found[:, place] = -np.log(np.maximum(values[:, place], 1e-9))
        elif name.rsplit("/", 1)[-1].startswith(LESS_IS_BETTER):
            found[:, place] = -values[:, place]
    return found


def _dominated_share(goodness: np.ndarray) -> float:
    """Hypervolume where each objective runs from 0, its worst value, to 1, its best."""
    import numpy as np

    from branchpoint.evaluation.pareto import hypervolume

    known = goodness[~np.isnan(goodness).any(axis=1)]
    if not len(known):
        return 0.0
    span = np.maximum(np.ptp(known, axis=0), 1e-12)
    return hypervolume((known - known.min(axis=0)) / span, np.zeros(known.shape[1]))
