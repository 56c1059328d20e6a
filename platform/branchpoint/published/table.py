"""The table of a reproduction: what was measured here beside what the paper reports, and the paired tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from branchpoint.evaluation.bootstrap import Interval, intervals, paired_differences
from branchpoint.evaluation.comparisons import holm
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
    here: Interval
    paper: float
    task: str


@dataclass(frozen=True)
class Test:
    """Two rows compared: the first minus the second, over the seeds that both completed.

    Attributes:
        p_adjusted: corrected by Holm for all tests of the table.
    """

    __test__ = False  # for pytest

    first: Row
    second: Row
    column: Column
    here: Interval
    paper: float
    p_adjusted: float = math.nan


@dataclass(frozen=True)
class Findings:
    """Everything that a reproduction found.

    Attributes:
        seeds: number of completed ones of each row, by label.
        failed: those that did not complete, by label.
    """

    experiment: Experiment
    cells: tuple[Cell, ...]
    tests: tuple[Test, ...]
    seeds: Mapping[str, int]
    failed: Mapping[str, tuple[int, ...]]


def findings(done: Reproduction) -> Findings:
    """Figures and paired tests of every row that completed."""
    experiment = done.experiment
    runs = {
        (row.label, part): done.summaries(row, part)
        for row in experiment.rows
        for part in dict.fromkeys(column.part for column in experiment.columns)
    }
    groups = {row.label: done.cohorts[row.config.dataset.release].groups for row in experiment.rows}

    def of(row: Row, column: Column) -> tuple[Task, dict[int, Summary]] | None:
        name = column.task_of(row.config)
        found = {seed: run[name] for seed, run in runs[row.label, column.part].items()} if name else {}
        kept = {seed: _of_group(summary, groups[row.label], column.group) for seed, summary in found.items()}
        if not any(summary["labelled"].any() for summary in kept.values()):
            return None
        return build_task(row.config.task(name)), kept

    cells, tests = [], []
    for row in experiment.rows:
        for column in experiment.columns:
            found = of(row, column)
            if found is not None:
                task, by_seed = found
                here = intervals(task, [*by_seed.values()], groups=groups[row.label], resamples=RESAMPLES)
                cells.append(Cell(row, column, here[column.metric], row.paper.get(column.title, math.nan), task.name))
    for first, second in _pairs(experiment):
        for column in experiment.columns:
            one, other = of(first, column), of(second, column)
            shared = sorted(one[1].keys() & other[1].keys()) if one and other else []
            if one is None or other is None or not shared:
                continue
            paper = first.paper.get(column.title, math.nan) - second.paper.get(column.title, math.nan)
            pair = [one[1][seed] for seed in shared], [other[1][seed] for seed in shared]
            here = paired_differences(one[0], *pair, groups=groups[first.label], resamples=RESAMPLES)
            tests.append(Test(first, second, column, here[column.metric], paper))
    adjusted = holm([test.here.p for test in tests])
    return Findings(
        experiment,
        tuple(cells),
        tuple(replace(test, p_adjusted=p) for test, p in zip(tests, adjusted, strict=True)),
        {row.label: len(runs[row.label, experiment.columns[0].part]) for row in experiment.rows},
        {row.label: done.failed_seeds(row) for row in experiment.rows},
    )


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
            error=cell.here.error,
            resampled=cell.here.resampled,
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
            error=test.here.error,
            p=test.here.p,
            p_adjusted=test.p_adjusted,
            resampled=test.here.resampled,
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
        lines.append(f"| {row.label}{mark} | {seeds_text(found, row)} | " + " | ".join(shown) + " |")
    for missing in experiment.unavailable:
        shown = [f"not available | {_number(missing.paper.get(title))}" for title in titles]
        lines.append(f"| {missing.name} ({missing.why}) | 0 | " + " | ".join(shown) + " |")
    drawn = "; ".join(dict.fromkeys(cell.here.resampled for cell in found.cells))
    lines += ["", f"Per cent; means over seeds with 95 % bootstrap intervals. Resampled: {drawn}.", ""]
    if found.tests:
        lines += [
            "| paired test | figure | difference here | p | p (Holm) | paper |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {test.first.label} minus {test.second.label} | {test.column.title} | {_interval(test.here)} | "
            f"{test.here.p:.3f} | {test.p_adjusted:.3f} | {_number(test.paper, sign=True)} |"
            for test in found.tests
        ]
        lines += [
            "",
            f"Paired over seeds and samples (two-sided, {RESAMPLES} resamples; Holm 1979 over the {len(found.tests)} "
            "tests of this table): Efron and Tibshirani 1993; Bouthillier et al. 2021.",
            "",
        ]
    return "\n".join([*lines, "Where this differs from the paper:", "", *(f"- {d}" for d in experiment.deviations), ""])


def seeds_text(found: Findings, row: Row) -> str:
    """``5``, or ``3 (failed: 1, 4)``."""
    failed = found.failed[row.label]
    return f"{found.seeds[row.label]}" + (f" (failed: {', '.join(map(str, failed))})" if failed else "")


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


def _interval(found: Interval) -> str:
    return f"{_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"
