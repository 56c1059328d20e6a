"""``branchpoint radiomics``: compare a finished study with hand-crafted features and Cox regression."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from branchpoint.commands.options import HomeOption, StoreOption, StudyOption, chosen_study


def radiomics(
    store: StoreOption = "results",
    study: StudyOption = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the release; by default the study's.")] = None,
    home: HomeOption = None,
    predicted: Annotated[bool, typer.Option(help="Also inside the outlines that the study's networks draw.")] = True,
    out: Annotated[Path | None, typer.Option(help="CSV file for the 274 features of every patient.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Patients measured at the same time.")] = 1,
) -> None:
    """Compare a finished study with standard radiomics: hand-crafted features and Cox regression on the same folds."""
    from branchpoint.commands.radiomics_comparison import compare_with_radiomics
    from branchpoint.report.folds import print_folds
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_test_figures
    from branchpoint.store import Store

    opened = Store(store)
    name = chosen_study(opened, study)
    for line in compare_with_radiomics(
        opened, name, data_root=data_root, home=home, predicted=predicted, out=out, workers=workers
    ):
        print(line)
    results = load_results(opened, name)
    metrics = [metric for metric in results.primary_metrics if metric.endswith("/c_index")]
    print_folds(results.figures, metrics)
    print_test_figures([*results.pooled_test, *results.tested_differences], metrics)
