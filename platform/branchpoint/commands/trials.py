"""``branchpoint trials``: the trials of a study."""

from __future__ import annotations

import json

from branchpoint.commands.options import JsonOption, StoreOption, StudyOption, chosen_study


def trials(store: StoreOption = "results", study: StudyOption = None, as_json: JsonOption = False) -> None:
    """List the trials of a study with their state, its reason and their metrics."""
    from branchpoint.report.tables import print_trials
    from branchpoint.store import Store

    opened = Store(store)
    table = opened.trials(chosen_study(opened, study))
    if as_json:
        print(json.dumps(table.to_pylist(), default=str, indent=2))
    else:
        print_trials(table)
