"""``branchpoint weights``: copy the weights that finalists kept onto this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from branchpoint.commands.options import StoreOption, StudyOption, chosen_study

if TYPE_CHECKING:
    from branchpoint.store import Store


def weights(
    store: StoreOption = "results",
    study: StudyOption = None,
    trial: Annotated[
        str | None, typer.Option(help="Name of one run that `branchpoint trials` lists; by default all runs.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write; each run gets a folder in it.")] = Path("weights"),
) -> None:
    """Copy the weights that finalists kept, with their Configs, from the folder or bucket of a study."""
    from branchpoint.store import Store

    opened = Store(store)
    for folder in fetch_weights(opened, chosen_study(opened, study), trial, out.resolve()):
        print(f"weights: {folder}")


def fetch_weights(store: Store, study: str, trial: str | None, out: Path) -> list[Path]:
    """Copy weights and Config of each finished run that kept them (or of ``trial`` alone) to ``out``; their folders.

    Raises:
        ValueError: no such run kept its weights.
    """
    from branchpoint.execution.state import NETWORK, home_folder, run_folder, store_and_state
    from branchpoint.training.state.warm_start import CONFIG_FILE

    rows = store.trials(study, columns=["stage", "state"]).to_pylist()
    finals = [row["trial"] for row in rows if (row["stage"], row["state"]) == ("final", "COMPLETE")]
    where, state = store_and_state(store.uri, home_folder(None), study)
    copied = []
    for name in sorted(finals if trial is None else [trial]):
        place = run_folder(state, where, study, name).place
        if place.holds(NETWORK):
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            for file in (CONFIG_FILE, NETWORK):
                (folder / file).write_bytes(place.read(file))
            copied.append(folder)
    if not copied:
        kept = f"its finished finalists are {', '.join(finals) or 'none'}"
        raise ValueError(f"study {study!r} kept no weights{f' of trial {trial!r}' if trial else ''}: {kept}")
    return copied
