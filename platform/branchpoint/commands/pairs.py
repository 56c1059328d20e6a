"""``branchpoint pairs`` (experimental): predict the best sharing tree from networks of two tasks."""

from __future__ import annotations

from typing import Annotated

import typer

from branchpoint.commands.options import ConfigOption, StoreOption


def pairs(
    config: ConfigOption,
    store: StoreOption = "results",
    study: Annotated[
        str | None, typer.Option(help="Study whose rows are used; by default named after dataset and release.")
    ] = None,
    budget: Annotated[
        float, typer.Option(help="Largest cost of the tree, in MACs of one network that shares everything.")
    ] = float("inf"),
) -> None:
    """Experimental: predict the best sharing tree from the networks of two tasks that the store holds."""
    from branchpoint.affinity.pairs import propose_from_pairs
    from branchpoint.config.file import read_config
    from branchpoint.execution.state import default_study
    from branchpoint.report.relations import print_pairs
    from branchpoint.store import Store

    chosen = read_config(config)
    print_pairs(*propose_from_pairs(Store(store), study or default_study(chosen.dataset), chosen, budget))
