"""Which Config a study recommends, and its runs, as the store tells it; nothing here needs torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from branchpoint.store import Store

RECOMMENDED = ("best found", "trained")
"""Labels of the figures whose candidate a study recommends: of a search, and of ``branchpoint train``."""

MIRRORED = "mirrored copies averaged"
_TOGETHER = re.compile(r", mean of \d+ networks")


def ensemble_label(label: str, networks: int, *, mirrored: bool) -> str:
    """Label of the test figures of the ``networks`` of a fold together; ``label``: that of their means.

    >>> ensemble_label("best found", 3, mirrored=True)
    'best found, mean of 3 networks, mirrored copies averaged'
    """
    together = f", mean of {networks} networks" if networks > 1 else ""
    return f"{label}{together}" + (f", {MIRRORED}" if mirrored else "")


def is_ensemble(label: str) -> bool:
    """Whether ``label`` is one that :func:`ensemble_label` gives to several networks or copies together."""
    return bool(_TOGETHER.search(label)) or label.endswith(f", {MIRRORED}")


def recommended(store: Store, study: str) -> tuple[str, str]:
    """Label in the test figures, and candidate, of the Config that ``study`` recommends.

    Raises:
        ValueError: the study has no test figures of one best candidate yet.
    """
    models = [row for row in store.figures(study).to_pylist() if row["kind"] == "model" and row["candidate"]]
    for label in RECOMMENDED:
        found = {str(row["candidate"]) for row in models if row["label"] == label}
        if len(found) == 1:
            return label, found.pop()
    raise ValueError(f"study {study!r} in {store.uri} has no test figures of a best candidate yet; let it finish")


def refit_name(candidate: str, seed: int, first: bool) -> str:
    """Name of the run that learns from all cases with ``seed``; the ``first`` one's has no seed in it."""
    return f"{candidate}-refit" + ("" if first else f"-seed{seed}")


def refit_runs(store: Store, study: str, candidate: str) -> list[dict[str, Any]]:
    """As :func:`final_runs`, of the networks of ``candidate`` that learned from all cases."""
    rows = store.trials(study, columns=["trial", "stage", "state", "candidate", "fold", "seed"]).to_pylist()
    name = refit_name(candidate, 0, first=True)
    refits = [row for row in rows if row["stage"] == "refit" and row["trial"].startswith(name)]
    return sorted(refits, key=lambda row: row["seed"])


def final_runs(store: Store, study: str, candidate: str, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of the trials table, with ``columns`` too, of the final runs of ``candidate``, by fold and then by seed."""
    wanted = ["trial", "stage", "state", "candidate", "fold", "seed", *columns]
    rows = store.trials(study, columns=wanted).to_pylist()
    final = [row for row in rows if row["candidate"] == candidate and row["stage"] == "final"]
    return sorted(final, key=lambda row: (row["fold"], row["seed"]))
