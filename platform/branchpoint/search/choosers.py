"""Patients whose labels chose a configuration: their test figures would be too good, so they are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from branchpoint.config import Config
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from branchpoint.store import Store


def patients_who_chose(config: Config, store: Store, prepared: PreparedCohort) -> dict[str, np.ndarray]:
    """Study to positions of the validation patients that compared ``config`` with others, in the searches of ``store``.

    A configuration is known again whatever its fold, seed and number of epochs. One that was changed by hand is another
    one, and a search in another store is not known.

    Args:
        config: that is trained now.
        store: of searches.
        prepared: the cohort; positions are in it.
    """
    budgets = {row["study"]: row["config"] for row in store.studies().to_pylist() if row["config"]}
    tried = store.trials(columns=["stage", "candidate"]).to_pylist()
    found = {}
    for study, text in budgets.items():
        try:
            base = Config.from_json(text)
        except ValueError:
            continue  # of another version, whose configurations cannot be trained here either
        as_searched = replace(config, training=replace(config.training, epochs=base.training.epochs))
        names = {config.candidate, as_searched.candidate}
        rows = [row for row in tried if (row["study"], row["stage"]) == (study, "search")]
        if base.dataset.name == config.dataset.name and any(row["candidate"] in names for row in rows):
            found[study] = split(prepared, base.split).validation
    return found
