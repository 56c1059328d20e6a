"""When a folder holds a whole phantom: its settings are the first file, its truth the last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from branchpoint.phantoms.writing import write_text

TRUTH = "phantom_truth.csv"
SETTINGS = "phantom_settings.json"


def begin(out: Path, settings: Mapping[str, object]) -> bool:
    """Whether ``out`` already holds this phantom; where it does not, its settings are written.

    Raises:
        ValueError: ``out`` holds something else.
    """
    if out.exists() and any(out.iterdir()):
        held = json.loads((out / SETTINGS).read_text()) if (out / SETTINGS).is_file() else None
        if held is None:
            raise ValueError(f"{out} holds other files: give a new or an empty folder for the phantom")
        if held != settings:
            names = [name for name in settings if held.get(name) != settings[name]]
            differing = ", ".join(f"{name} {held.get(name)!r}" for name in names)
            raise ValueError(f"{out} holds a phantom with {differing}: give another folder, or delete it")
        if (out / TRUTH).is_file():
            return True
    write_text(out / SETTINGS, json.dumps(settings, indent=2) + "\n")
    return False


def finish(out: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write the truth: from now on the phantom is complete."""
    write_csv(out / TRUTH, header, rows)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table of cells without commas, lines ending in LF."""
    lines = [",".join(map(str, line)) for line in (header, *rows)]
    write_text(path, "\n".join(lines) + "\n")
