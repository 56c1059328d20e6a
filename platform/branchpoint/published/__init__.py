"""The published experiments: every table of the papers' own methods as Configs, beside the figures they report."""

from __future__ import annotations

from branchpoint.published import hecktor, hog, resformer
from branchpoint.published.experiment import Column, Experiment, Row, Shrunk, Unavailable

__all__ = ["PAPERS", "Column", "Experiment", "Row", "Shrunk", "Unavailable", "experiments", "find"]

PAPERS = {"resformer": resformer.experiments, "hog": hog.experiments, "hecktor": hecktor.experiments}
"""Short name of a paper to what makes its experiments."""


def experiments(paper: str = "") -> list[Experiment]:
    """Every experiment, or those of ``paper``."""
    return [experiment for name, make in PAPERS.items() if paper in ("", name) for experiment in make()]


def find(paper: str, dataset: str, table: str) -> Experiment:
    """The experiment with these names.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    known = experiments()
    for experiment in known:
        if (experiment.paper, experiment.dataset, experiment.table) == (paper, dataset, table.lower()):
            return experiment
    there = "; ".join(f"--paper {e.paper} --dataset {e.dataset} --table {e.table}" for e in known)
    raise ValueError(f"there is no published experiment {paper!r}, {dataset!r}, table {table!r}; there are: {there}")
