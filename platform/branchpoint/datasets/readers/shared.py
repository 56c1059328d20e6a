"""Functions that the readers of picture datasets share: files by sample and part, and rows for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from branchpoint.datasets.files import describe_folder, listed
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.tables import Table, read_table

Files = dict[str, dict[str, Path]]
"""Sample to part (modality or mask) to file."""


def collect(listing: Iterable[Path], part_of: Callable[[Path], tuple[str, str] | None]) -> tuple[Files, list[Problem]]:
    """Files by sample and part, and the samples that two files claim; ``part_of`` gives ``None`` for other files."""
    files: Files = {}
    problems = []
    for path in listing:
        named = part_of(path)
        if named is None:
            continue
        sample, part = named
        held = files.setdefault(sample, {}).setdefault(part, path)
        if held != path:
            problems.append(problem("duplicate-patient", sample, part, f"{path}, beside {held}"))
    return files, problems


def missing_parts(sample: str, files: Mapping[str, Path], expected: Mapping[str, str]) -> list[Problem]:
    """Rows for the parts of a sample that are not there; ``expected`` says where each should be."""
    if not files:
        first = next(iter(expected.values()))
        return [problem("row-without-images", sample, "", "a table row, but no image", expected=first)]
    found = f"only {listed(path.name for path in files.values())}"
    return [
        problem("missing-file", sample, part, found, expected=where)
        for part, where in expected.items()
        if part not in files
    ]


def nothing_found(root: Path, layout: str, fix: str | None = None) -> Problem:
    """The row of a root without samples."""
    return problem("no-patients", "", "", f"{root}: {describe_folder(root)}", expected=layout, fix=fix)


def find_table(listing: Iterable[Path], id_columns: tuple[str, ...], columns: Sequence[str]) -> Table | None:
    """The first CSV file that has one of ``id_columns`` and one of ``columns``, or that cannot be read at all."""
    broken = None
    for path in listing:
        if path.suffix.lower() != ".csv":
            continue
        table = read_table(path, id_columns)
        if set(columns) & set(table.columns) and set(id_columns) & set(table.columns):
            return table
        if table.problems and broken is None:
            broken = table
    return broken


def table_problems(table: Table | None, columns: Sequence[str], expected: str) -> list[Problem]:
    """Rows of a table that is missing, lacks columns, or has rows of its own."""
    if table is None:
        return [problem("missing-table", "", "", "no such table under the root", expected=expected)]
    absent = [column for column in columns if column not in table.columns]
    if absent and table.columns:
        found = f"{table.path.name} lacks {listed(absent)}"
        return [*table.problems, problem("missing-column", "", "", found, expected=f"the columns of {expected}")]
    return list(table.problems)


def without_row(sample: str, files: Mapping[str, Path], table: Table | None) -> list[Problem]:
    """A row where a table has no line for a sample with files."""
    if table is None or not files or sample in table.rows:
        return []
    return [problem("images-without-row", sample, "", f"no row in {table.path.name}")]
