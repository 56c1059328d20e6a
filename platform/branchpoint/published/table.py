"""The table of a reproduction: what was measured here beside what the paper reports, and the paired tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.evaluation.statistics import FEWEST_GROUPS, Estimate, difference, estimate
from branchpoint.published.experiment import Column, Experiment, Row
from branchpoint.published.reproduction import Reproduction
from branchpoint.store import FigureRecord
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary, Task, select

RESAMPLES = 1000


@dataclass(frozen=True)
class Cell:
    """A figure measured here, and the paper's (NaN where it has none)."""

    row: Row
    column: Column
    here: Estimate
    paper: float
    task: str


@dataclass(frozen=True)
class Test:
    """Two rows compared: the first minus the second."""

    __test__ = False  # for pytest

    first: Row
    second: Row
    column: Column
    here: Estimate
    paper: float


@dataclass(frozen=True)
class Findings:
    """Everything that a reproduction found.

    Attributes:
        seeds: completed ones of each row, by label.
        few_groups: names of groups that were too few to be drawn together.
    """

    experiment: Experiment
    cells: tuple[Cell, ...]
    tests: tuple[Test, ...]
    seeds: Mapping[str, int]
    few_groups: tuple[str, ...]


def findings(done: Reproduction) -> Findings:
    """Figures and paired tests of every row that completed."""
    experiment = done.experiment
    runs = {
        (row.label, part): done.summaries(row, part)
        for row in experiment.rows
        for part in dict.fromkeys(column.part for column in experiment.columns)
    }
    groups = {row.label: done.cohorts[row.config.dataset.release].groups for row in experiment.rows}
    few: set[str] = set()

    def of(row: Row, column: Column) -> tuple[Task, list[Summary], list[str | None]] | None:
        name = column.task_of(row.config)
        found = [run[name] for run in runs[row.label, column.part]] if name else []
        kept = [_of_group(summary, groups[row.label], column.group) for summary in found]
        if not kept or not kept[0]["labelled"].any():
            return None
        names = [groups[row.label][i] for i in kept[0]["index"]]
        held = {group for group in names if group is not None}
        few.update(held if len(held) < FEWEST_GROUPS and None not in names else ())
        return build_task(row.config.task(name)), kept, names

    cells, tests = [], []
    for row in experiment.rows:
        for column in experiment.columns:
            found = of(row, column)
            if found is not None:
                task, summaries, names = found
                here = estimate(task, column.metric, summaries, names, RESAMPLES)
                cells.append(Cell(row, column, here, row.paper.get(column.title, math.nan), task.name))
    for first, second in _pairs(experiment):
        for column in experiment.columns:
            one, other = of(first, column), of(second, column)
            if one is None or other is None or len(one[1]) != len(other[1]):
                continue
            paper = first.paper.get(column.title, math.nan) - second.paper.get(column.title, math.nan)
            here = difference(one[0], column.metric, one[1], other[1], one[2], RESAMPLES)
            tests.append(Test(first, second, column, here, paper))
    counts = {row.label: len(runs[row.label, experiment.columns[0].part]) for row in experiment.rows}
    return Findings(experiment, tuple(cells), tuple(tests), counts, tuple(sorted(few)))


def records(found: Findings, study: str) -> list[FigureRecord]:
    """The same for the store."""
    table = f"table {found.experiment.table}"
    rows = [
        FigureRecord(
            study=study,
            candidate=cell.row.config.candidate,
            split=cell.column.part,
            task=cell.task,
            label=f"{table}: {cell.row.label}{_in_group(cell.column)}",
            metric=cell.column.metric,
            value=cell.here.value,
            low=cell.here.low,
            high=cell.here.high,
            n=cell.here.n,
        )
        for cell in found.cells
    ]
    return rows + [
        FigureRecord(
            study=study,
            candidate=test.first.config.candidate,
            split=test.column.part,
            kind="difference",
            label=f"{table}: {test.first.label} minus {test.second.label}{_in_group(test.column)}",
            task=test.column.task_of(test.first.config),
            metric=test.column.metric,
            value=test.here.value,
            low=test.here.low,
            high=test.here.high,
            n=test.here.n,
        )
        for test in found.tests
    ]


def markdown(found: Findings, heading: Sequence[str]) -> str:
    """The written table: figures in per cent, paired tests, deviations.

    Args:
        heading: what was run, in sentences.
    """
    experiment = found.experiment
    titles = [column.title for column in experiment.columns]
    lines = [
        f"# {experiment.paper}, table {experiment.table} on {experiment.dataset}: {experiment.title}",
        "",
        *heading,
        "",
        "| | seeds | " + " | ".join(f"{title} here | paper" for title in titles) + " |",
        "|---|---|" + "---|---|" * len(titles),
    ]
    for row in experiment.rows:
        cells = {cell.column.title: cell for cell in found.cells if cell.row.label == row.label}
        shown = [
            f"{_interval(cells[title].here) if title in cells else '-'} | {_number(row.paper.get(title))}"
            for title in titles
        ]
        mark = f" ({row.note})" if row.note else ""
        lines.append(f"| {row.label}{mark} | {found.seeds[row.label]} | " + " | ".join(shown) + " |")
    for missing in experiment.unavailable:
        shown = [f"not available | {_number(missing.paper.get(title))}" for title in titles]
        lines.append(f"| {missing.name} ({missing.why}) | 0 | " + " | ".join(shown) + " |")
    lines += ["", "Per cent; means over seeds with 95 % intervals of a bootstrap over seeds and samples.", ""]
    if found.tests:
        lines += ["| paired test | figure | difference here | p | paper |", "|---|---|---|---|---|"]
        lines += [
            f"| {test.first.label} minus {test.second.label} | {test.column.title} | {_interval(test.here)} | "
            f"{test.here.p:.3f} | {_number(test.paper, sign=True)} |"
            for test in found.tests
        ]
        lines += [
            "",
            f"Paired over seeds and samples (two-sided, {RESAMPLES} resamples, not corrected for "
            f"{len(found.tests)} tests): Efron and Tibshirani 1993; Bouthillier et al. 2021.",
            "",
        ]
    if found.few_groups:
        lines += [
            f"Intervals draw single samples, although these come from {len(found.few_groups)} volumes or videos "
            "only: they are too narrow for statements on other volumes or videos.",
            "",
        ]
    return "\n".join([*lines, "Where this differs from the paper:", "", *(f"- {d}" for d in experiment.deviations), ""])


def _pairs(experiment: Experiment) -> list[tuple[Row, Row]]:
    rows = {(row.name, row.subset): row for row in experiment.rows}
    return [
        (rows[first, subset], rows[second, subset])
        for first, second in experiment.compared
        for subset in dict.fromkeys(row.subset for row in experiment.rows)
        if (first, subset) in rows and (second, subset) in rows
    ]


def _of_group(summary: Summary, groups: Sequence[str | None], group: str) -> Summary:
    if not group:
        return summary
    return select(summary, np.array([groups[i] == group for i in summary["index"]]))


def _in_group(column: Column) -> str:
    return f", {column.group}" if column.group else ""


def _number(value: float | None, *, sign: bool = False) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:{'+' if sign else ''}.1f}"


def _interval(found: Estimate) -> str:
    return f"{_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"
