"""``branchpoint evaluate``: test the networks of a finished study on an external cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from branchpoint.commands.options import HomeOption, SkipFaultyOption, StoreOption, StudyOption, chosen_study


def evaluate(
    data_root: Annotated[Path, typer.Option(help="Folder of the external cohort.")],
    store: StoreOption = "results",
    study: StudyOption = None,
    dataset: Annotated[str, typer.Option(help="Dataset name of the cohort; by default the study's.")] = "",
    release: Annotated[str | None, typer.Option(help="Its release; by default the study's.")] = None,
    name: Annotated[str, typer.Option(help="What to call the cohort; by default its folder's name.")] = "",
    home: HomeOption = None,
    skip_faulty: SkipFaultyOption = False,
) -> None:
    """Test the networks of a finished study on a cohort from elsewhere, which none of them has seen."""
    from branchpoint.commands.external_cohort import evaluate_elsewhere
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_test_figures
    from branchpoint.store import Store

    opened = Store(store)
    chosen = chosen_study(opened, study)
    label = evaluate_elsewhere(
        opened, chosen, data_root, dataset=dataset, release=release, name=name, home=home, skip_faulty=skip_faulty
    )
    results = load_results(opened, chosen)
    print(f"figures of {label}: means over the study's networks, beside those on its own test patients")
    print_test_figures([row for row in results.pooled_test if row["kind"] == "model"], results.primary_metrics)
