"""Rows of ``branchpoint check-data`` as a table, JSON or CSV."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from branchpoint.datasets.problems.problem import Problem

COLUMNS = tuple(field.name for field in dataclasses.fields(Problem))
CONDENSE_ABOVE = 10
"""Rows alike for more patients than this fill the screen without telling more; JSON and CSV keep every row."""

_STYLES = {"error": "red", "warning": "yellow", "accepted": "dim"}
"""Severities in the table's order."""

PIPED_WIDTH = 180
"""Columns of the table where the output is no terminal and COLUMNS does not say."""


def condense(problems: Iterable[Problem]) -> list[Problem]:
    """The rows with those alike (same rule and task) of more than ``CONDENSE_ABOVE`` patients put into one row.

    Of errors alike the first ``CONDENSE_ABOVE`` stay rows of their own.
    """
    groups: dict[tuple[str, str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.severity, problem.rule, problem.task].append(problem)
    rows: list[Problem] = []
    for (severity, _, _), group in groups.items():
        if len(group) <= CONDENSE_ABOVE + (severity == "error"):
            rows.extend(group)
            continue
        first = group[0]
        if severity == "error":
            rows.extend(group[:CONDENSE_ABOVE])
            more = len(group) - CONDENSE_ABOVE
            found = f"{more:,} more like these; --csv FILE or --json lists them"
            rows.append(dataclasses.replace(first, patient=f"{more:,} more", found=found))
            continue
        found = f"{len(group):,} times alike; the first: {first.patient or 'cohort'}: {first.found}"
        rows.append(dataclasses.replace(first, patient=f"{len(group):,} patients", found=found))
    return rows


def problems_to_json(problems: Sequence[Problem]) -> str:
    """A JSON list with one object for each row."""
    return json.dumps([dataclasses.asdict(problem) for problem in problems], indent=2, ensure_ascii=False)


def write_problems_csv(problems: Sequence[Problem], path: Path) -> None:
    """Write the rows, with a header line, to ``path``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(dataclasses.asdict(problem) for problem in problems)


def print_problems(problems: Sequence[Problem], title: str = "") -> None:
    """Print one table, errors first and what is accepted last, and a line that counts them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=PIPED_WIDTH)
    order = list(_STYLES)
    rows = sorted(condense(problems), key=lambda problem: order.index(problem.severity))
    if rows:
        table = Table(title=title or None, box=box.SIMPLE_HEAD, padding=(0, 1))
        for column in COLUMNS:
            table.add_column(column, no_wrap=column in ("severity", "patient", "rule"), overflow="fold")
        for row in rows:
            cells = [Text(getattr(row, column)) for column in COLUMNS]
            cells[0].stylize(_STYLES[row.severity])
            cells[1] = cells[1] if row.patient else Text("(cohort)")
            table.add_row(*cells)
        console.print(table)
    summary = counted(problems) if problems else "nothing is wrong"
    console.print(f"{title}: {summary}" if title else summary, highlight=False, soft_wrap=True)


def counted(problems: Iterable[Problem]) -> str:
    """How many rows of each severity: ``1 error, 2 warnings``, and those accepted where there are any."""
    found = Counter(problem.severity for problem in problems)
    words = [f"{found[each]} {each}{'s' * (found[each] != 1)}" for each in ("error", "warning")]
    return ", ".join(words + [f"{found['accepted']} accepted"] * bool(found["accepted"]))
