"""``branchpoint report``: the report of a study as one HTML file, and its figures and tables as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from branchpoint.commands.options import HomeOption, StoreOption, StudyOption, chosen_study


def report(
    store: StoreOption = "results",
    study: StudyOption = None,
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    data_root: Annotated[Path | None, typer.Option(help="Folder of the release; by default the study's.")] = None,
    home: HomeOption = None,
    pictures: Annotated[bool, typer.Option(help="Show images of test patients with their outlines.")] = True,
    export: Annotated[
        Path | None,
        typer.Option(help="New folder for each figure as PNG and SVG and each table as CSV and LaTeX."),
    ] = None,
) -> None:
    """Write the report of a study as one HTML file that needs no other files."""
    from branchpoint.report import export_report, write_report
    from branchpoint.report.export import check_export
    from branchpoint.report.predictions import prediction_sections
    from branchpoint.store import Store

    if export:
        check_export(export)
    opened = Store(store)
    name = chosen_study(opened, study)
    predictions = prediction_sections(opened, name, home=home, data_root=data_root, pictures=pictures)
    write_report(opened, name, out, predictions)
    print(f"report: {out.resolve()}")
    if export:
        made = export_report(opened, name, export, predictions)
        print(f"export: {export.resolve()}")
        print(f"{made.figures} figures as PNG and SVG, {made.tables} tables as CSV and LaTeX")
        if made.pictures:
            print(f"{made.pictures} pictures of test cases as PNG")
