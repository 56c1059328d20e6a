"""``branchpoint sql``: query a results store with SQL."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from branchpoint.commands.options import JsonOption, StoreOption


def sql(
    query: Annotated[
        str, typer.Argument(help="DuckDB SQL over the tables studies, trials, epochs, figures, affinities, proposals.")
    ],
    store: StoreOption = "results",
    as_json: JsonOption = False,
) -> None:
    """Query the results with SQL."""
    from branchpoint.report.tables import print_table
    from branchpoint.store import Store

    table = Store(store).require().sql(query)
    if as_json:
        print(json.dumps(table.to_pylist(), default=str, indent=2))
    else:
        print_table(table)
