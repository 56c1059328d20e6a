"""Clinical values of a user's own table: numbers, and the texts that training understands as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from branchpoint.datasets.clinical_texts import kind_of_text
from branchpoint.datasets.files import listed
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.tables import Row, is_missing, number

_NEUTRAL = {"number", "stage", "age"}
"""Kinds of text that may stand beside another: ``2`` beside ``T2``, ``54`` beside ``054Y``."""


def read_covariates(
    names: Sequence[str], rows: Mapping[str, Row]
) -> tuple[dict[str, dict[str, float | str | None]], list[Problem]]:
    """Sample to its clinical values by name, and rows for cells that no network could use.

    A column that holds mostly numbers is one of numbers: its other cells count as missing, with a warning. Any other
    column must hold texts that are understood, all of one kind.

    Args:
        names: columns.
        rows: sample to its row.
    """
    values: dict[str, dict[str, float | str | None]] = {sample: {} for sample in rows}
    problems: list[Problem] = []
    for name in names:
        cells = {sample: text for sample, row in rows.items() if not is_missing(text := row.get(name, ""))}
        numeric = sum(number(text) is not None for text in cells.values()) * 2 > len(cells)
        problems += _column_problems(name, cells, numeric, len(rows))
        for sample in rows:
            values[sample][name] = number(cells.get(sample, "")) if numeric else cells.get(sample)
    return values, problems


def _column_problems(name: str, cells: Mapping[str, str], numeric: bool, rows: int) -> list[Problem]:
    texts = sorted(set(cells.values()))
    if rows and not cells:
        return [problem("bad-covariate", "", name, f"column {name!r} has no value")]
    if numeric and all(_is_date(text) for text in texts):
        return [problem("bad-covariate", "", name, f"column {name!r} holds dates: {listed(texts, 3)}")]
    if numeric:
        odd = {sample: text for sample, text in cells.items() if number(text) is None}
        return [problem("bad-value", s, name, f"{name} {text!r}", expected="a number") for s, text in odd.items()]
    if strange := [text for text in texts if not kind_of_text(text)]:
        return [problem("bad-covariate", "", name, f"column {name!r} holds {listed(list(map(repr, strange)), 5)}")]
    kinds = sorted({kind_of_text(text) for text in texts})
    if len(kinds) > 1 and not set(kinds) <= _NEUTRAL:
        found = f"column {name!r} holds texts of several kinds ({', '.join(kinds)}): {listed(texts, 5)}"
        return [problem("bad-covariate", "", name, found, expected="texts of one kind")]
    return []


def _is_date(text: str) -> bool:
    """Whether eight digits are a date of the last two centuries, as DICOM writes it: ``20210304``."""
    try:
        return len(text) == 8 and 1900 <= datetime.strptime(text, "%Y%m%d").year < 2100
    except ValueError:
        return False
