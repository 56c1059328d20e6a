"""``branchpoint report``: the report of a study as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from branchpoint.commands.options import HomeOption, StoreOption, StudyOption, chosen_study

if TYPE_CHECKING:
    from branchpoint.report.parts import Section
    from branchpoint.store import Store


def report(
    store: StoreOption = "results",
    study: StudyOption = None,
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    data_root: Annotated[Path | None, typer.Option(help="Folder of the release; by default the study's.")] = None,
    home: HomeOption = None,
    pictures: Annotated[bool, typer.Option(help="Show images of test patients with their outlines.")] = True,
) -> None:
    """Write the report of a study as one HTML file that needs no other files."""
    from branchpoint.report import write_report
    from branchpoint.store import Store

    opened = Store(store)
    name = chosen_study(opened, study)
    write_report(opened, name, out, _predictions(opened, name, data_root, home, pictures))
    print(f"report: {out.resolve()}")


def _predictions(store: Store, study: str, data_root: Path | None, home: Path | None, pictures: bool) -> list[Section]:
    """Sections on single patients; where the study is unfinished or its data are gone, one that says why."""
    from branchpoint.datasets.pipeline import checked_cohort
    from branchpoint.execution.finished import FinishedStudy
    from branchpoint.report.predictions import absent, prediction_sections

    try:
        finished = FinishedStudy.open(store, study, home=home, data_root=data_root)
        dataset, folds = finished.config.dataset, finished.config.split.folds
        without_faulty = bool(finished.faulty)
        prepared, _ = checked_cohort(dataset, finished.home / "cache", folds=folds, without_faulty=without_faulty)
    except (ValueError, OSError) as problem:
        return [absent(str(problem))]
    return prediction_sections(store, study, prepared.path, home=home, pictures=pictures)
