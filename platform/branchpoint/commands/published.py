"""``branchpoint published``: the experiments of published papers."""

from __future__ import annotations

from typing import Annotated

import typer

from branchpoint.commands.options import JsonOption

app = typer.Typer(no_args_is_help=True, help="Experiments of published papers, which jobs/reproduce.py trains.")


@app.callback()
def published() -> None:
    """Experiments of published papers, which jobs/reproduce.py trains."""


@app.command("list")
def list_experiments(
    paper: Annotated[str, typer.Option(help="Show only this paper: resformer, hog or hecktor.")] = "",
    long: Annotated[bool, typer.Option("--long", help="Show every row, and what differs from the paper.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the tables that jobs/reproduce.py can train."""
    from branchpoint.report.published import experiments_to_json, print_experiments

    if as_json:
        print(experiments_to_json(paper))
    else:
        print_experiments(paper, long)
