"""``branchpoint status``: how far a study has come."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from branchpoint.commands.options import HomeOption, JsonOption, StoreOption, StudyOption, chosen_study

if TYPE_CHECKING:
    from branchpoint.execution.study_status import StudyStatus

SECONDS = 5.0
COLUMNS = ("stage", "planned", "complete", "pruned", "failed", "running", "infeasible", "epochs", "elapsed", "left")


def status(
    store: StoreOption = "results",
    study: StudyOption = None,
    home: HomeOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Say it again every five seconds, until the end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a study has done, what is running, its best so far, and the time left at this rate."""
    from branchpoint.execution.state import home_folder, store_and_state
    from branchpoint.execution.study_status import study_status
    from branchpoint.store import Store

    opened = Store(store)
    name = chosen_study(opened, study)
    _, state = store_and_state(store, home_folder(home), name)
    while True:
        found = study_status(opened, name, state)
        print(json.dumps(asdict(found), indent=2)) if as_json else _show(found)
        if not watch or found.finished:
            return
        time.sleep(SECONDS)


def _show(found: StudyStatus) -> None:
    from branchpoint.report.tables import print_rows

    ended = "it has ended" if found.tested else "the same command goes on with it"
    print(f"study {found.name!r}: {f'run by {found.driver}' if found.driver else f'no driver is running; {ended}'}")
    rows = []
    for stage in found.stages:
        states = [stage.states.get(name.upper(), 0) for name in COLUMNS[2:7]]
        left = "-" if stage.left_seconds is None else _clock(stage.left_seconds)
        planned = "-" if stage.planned is None else str(stage.planned)
        rows.append([stage.stage, planned, *map(str, states), str(stage.epochs), _clock(stage.elapsed_seconds), left])
    print_rows([name if found.driver or name != "running" else "interrupted" for name in COLUMNS], rows)
    if found.best:
        trial, value = found.best
        print(f"best of the search: score {value:.3f} on the validation patients of one fold (trial {trial})")
    if found.recommended:
        label, value, error = found.recommended
        print(f"recommended: {label}, score {value:.3f} (standard error {error:.3f}) on validation patients")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
