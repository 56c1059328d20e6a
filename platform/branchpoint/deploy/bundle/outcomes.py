"""The table of known outcomes that a bundle's probabilities are fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from branchpoint.datasets.problems.problem import CohortError
from branchpoint.datasets.readers.tables import Table, column_key, read_table
from branchpoint.deploy.bundle.tasks import TaskInfo

Outcomes = Mapping[str, Mapping[str, str]]
"""Case to column (of :func:`outcome_columns`) to the text of its cell."""


def outcome_columns(task: TaskInfo) -> tuple[str, ...]:
    """Columns that hold the outcome of ``task``; none where it has no probabilities to calibrate."""
    if task.kind == "survival":
        return f"{task.name}_days", f"{task.name}_event"
    return (task.name,) if task.kind == "classification" else ()


def read_outcomes(path: Path, tasks: Sequence[TaskInfo]) -> Outcomes:
    """A table with ``id`` and, for each task to calibrate, ``TASK`` (class) or ``TASK_days`` and ``TASK_event`` (0, 1).

    Raises:
        ValueError: it cannot be read, lacks ``id``, or names what the bundle does not predict.
    """
    table = read_table(path, ("id",))
    if table.problems:
        raise CohortError(table.problems)
    wanted = [name for task in tasks for name in outcome_columns(task)]
    if column_key(table.headers, "id") is None:
        raise ValueError(f"--outcomes {path}: no column 'id'; the columns are id, {', '.join(sorted(wanted))}")
    keys = _keys(table, ["id", *wanted], path)
    if unknown := [name for name, key in zip(table.headers, table.columns, strict=True) if key not in keys.values()]:
        allowed = ", ".join(sorted(["id", *wanted]))
        raise ValueError(f"--outcomes {path}: unknown column {unknown[0]!r}; it may have {allowed}")
    return {case: {name: row[key] for name, key in keys.items() if name != "id"} for case, row in table.rows.items()}


def _keys(table: Table, names: Sequence[str], path: Path) -> dict[str, str]:
    """Name to key of the columns that the table has."""
    try:
        found = {name: column_key(table.headers, name) for name in names}
    except ValueError as doubled:
        raise ValueError(f"--outcomes {path}: {doubled}") from None
    return {name: key for name, key in found.items() if key is not None}
