"""``branchpoint best``: the best configurations of a study."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from branchpoint.commands.options import JsonOption, StoreOption, StudyOption, chosen_study


def best(
    store: StoreOption = "results",
    study: StudyOption = None,
    metric: Annotated[
        str | None, typer.Option(help="Validation metric that ranks the trials; by default the score over all tasks.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of configurations to show.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Show the best configurations of a study, and the test results of those that were retrained."""
    from branchpoint.config import SCORE
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_best, print_test_figures
    from branchpoint.store import Store

    opened, metric = Store(store), metric or SCORE
    study = chosen_study(opened, study)
    rows = opened.best(study, metric, top=top, stage="search")
    if as_json:
        print(json.dumps(rows, default=str, indent=2))
        return
    results = load_results(opened, study)
    print_best(rows, metric, results.primary_metrics)
    print_test_figures([*results.pooled_test, *results.differences], results.primary_metrics)
