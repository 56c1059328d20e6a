"""Runs on a cohort in memory that keep their networks."""

from __future__ import annotations

from pathlib import Path

from branchpoint.execution.run_spec import Setup
from tests.training.flat_cohort import FlatCohort


def flat(path: object) -> FlatCohort:
    """The cohort, whatever the path."""
    return FlatCohort()


def flat_setup(folder: Path) -> Setup:
    """Of runs whose store and state lie in ``folder``."""
    return Setup(
        study="s",
        store=str(folder / "results"),
        folder=folder / "state",
        prepared=folder,
        open_cohort=flat,
        keep_network=True,
    )
