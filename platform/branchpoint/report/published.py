"""The published experiments in the terminal."""

from __future__ import annotations

import json

from branchpoint.published import PAPERS, Experiment, experiments
from branchpoint.report.tables import print_rows


def print_experiments(paper: str = "", long: bool = False) -> None:
    """A line for each table; with ``long`` its rows, what is not available, and what differs from the paper.

    Raises:
        ValueError: there is no such paper.
    """
    found = _of(paper)
    print_rows(
        ["paper", "dataset", "table", "shows", "rows", "seeds", "not available"],
        (
            [e.paper, e.dataset, e.table, e.title, str(len(e.rows)), str(e.seeds), str(len(e.unavailable))]
            for e in found
        ),
        title="python jobs/reproduce.py --paper PAPER --dataset DATASET --table TABLE [--data-root DIR]",
    )
    for experiment in found if long else ():
        _print_rows(experiment)


def _print_rows(experiment: Experiment) -> None:
    titles = [column.title for column in experiment.columns]
    rows = [
        [row.label, row.config.candidate, *(_per_cent(row.paper.get(title)) for title in titles), row.note]
        for row in experiment.rows
    ]
    rows += [
        [row.name, "-", *(_per_cent(row.paper.get(title)) for title in titles), f"not available: {row.why}"]
        for row in experiment.unavailable
    ]
    heading = f"{experiment.paper}, table {experiment.table}, {experiment.dataset}: {experiment.title}"
    print_rows(["row", "candidate", *(f"{title} (paper)" for title in titles), "note"], rows, title=heading)
    print("Differs from the paper:")
    print("\n".join(f"- {text}" for text in experiment.deviations), end="\n\n")


def experiments_to_json(paper: str = "") -> str:
    """Every experiment with the Config of each row."""
    return json.dumps(
        [
            {
                "paper": e.paper,
                "dataset": e.dataset,
                "table": e.table,
                "title": e.title,
                "seeds": e.seeds,
                "rows": [
                    {
                        "label": row.label,
                        "paper": dict(row.paper),
                        "note": row.note,
                        "config": json.loads(row.config.to_json()),
                    }
                    for row in e.rows
                ],
                "unavailable": [{"label": row.name, "why": row.why, "paper": dict(row.paper)} for row in e.unavailable],
                "deviations": e.deviations,
            }
            for e in _of(paper)
        ],
        indent=1,
    )


def _of(paper: str) -> list[Experiment]:
    if paper and paper not in PAPERS:
        raise ValueError(f"--paper is {paper!r}: there are {', '.join(PAPERS)}")
    return experiments(paper)


def _per_cent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
