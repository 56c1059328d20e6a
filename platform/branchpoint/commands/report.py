"""``branchpoint report``: the report of a study as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from branchpoint.commands.options import StoreOption, StudyOption, chosen_study


def report(
    store: StoreOption = "results",
    study: StudyOption = None,
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Write the report of a study as one HTML file that needs no other files."""
    from branchpoint.report import write_report
    from branchpoint.store import Store

    opened = Store(store)
    write_report(opened, chosen_study(opened, study), out)
    print(f"report: {out.resolve()}")
