"""Clinical tables as they come: encodings, separators, missing values and offending text, none of which may crash."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from branchpoint.datasets.cohort import SurvivalLabel
from branchpoint.datasets.files import unreadable_reason
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem

MISSING = frozenset(
    {"", "nan", "-nan", "na", "n/a", "n.a.", "n.a", "<na>", "#n/a", "#na", "null", "#null!", "(null)", "nil", "none"}
    | {
        "-",
        "--",
        "---",
        "\u2013",
        "\u2014",
        "?",
        "??",
        ".",
        "..",
        "nat",
        "unknown",
        "unk",
        "unbekannt",
        "k.a.",
        "not available",
    }
    | {
        "not known",
        "not applicable",
        "not reported",
        "not done",
        "not evaluated",
        "not assessed",
        "keine angabe",
        "inconnu",
        "desconocido",
        "pending",
        "tbd",
        "n/k",
        "missing",
        "undefined",
        "\\n",
        "#value!",
        "#ref!",
        "#div/0!",
        "#name?",
        "#num!",
        "1.#qnan",
        "-1.#ind",
    }
)
"""Texts, in lower case, that say that a value is unknown."""
MAX_BYTES = 256 * 1024**2
"""Of a table; a larger file is no clinical table."""
MAX_DAYS = 36_525.0
"""100 years: a longer follow-up is a date or another unit."""

Row = Mapping[str, str]
"""Normalised column name (:func:`normalized`) to the stripped text of a cell."""


@dataclass(frozen=True)
class Table:
    """The rows of one file by patient, in the file's order."""

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, Row]
    problems: tuple[Problem, ...] = ()
    headers: tuple[str, ...] = ()


def normalized(header: str) -> str:
    """Letters and digits of a column's name, without brackets: ``HPV status (0=-, 1=+)`` -> ``hpvstatus``.

    Letters of every script count, in one Unicode form; a name without any letter or digit stays as it is.
    """
    plain = unicodedata.normalize("NFKC", header).casefold().strip()
    return re.sub(r"[\W_]", "", re.sub(r"\(.*?\)", "", plain)) or re.sub(r"[\W_]", "", plain) or plain


def column_keys(headers: Sequence[str]) -> tuple[str, ...]:
    """The key of each column in a :data:`Row`: its normalised name, or its exact one where several would share it."""
    plain = [normalized(header) for header in headers]
    shared = Counter(plain)
    return tuple(name if shared[name] == 1 else header.strip() for name, header in zip(plain, headers, strict=True))


def spelled(header: str) -> str:
    """A column's name without what nobody sees: case, Unicode form, underscores and the number of spaces.

    Brackets, signs and units stay: ``age (months)`` is not ``age (years)``, and ``Ki67+`` is not ``Ki67-``.
    """
    plain = unicodedata.normalize("NFKC", header).casefold().replace("_", " ")
    return " ".join("".join(sign for sign in plain if unicodedata.category(sign) != "Cf").split())


def column_key(headers: Sequence[str], name: str, form: Callable[[str], str] = normalized) -> str | None:
    """The key of the column called ``name``: the exact name wins, else the only one that is alike; ``None``: none.

    Args:
        headers: of the table.
        name: which is looked for.
        form: names of one form are alike.

    Raises:
        ValueError: two columns may be meant; the message names both.
    """
    exact = [place for place, header in enumerate(headers) if header.strip() == name.strip()]
    found = exact or [place for place, header in enumerate(headers) if form(header) == form(name)]
    if len(found) > 1:
        both = " and ".join(f"{headers[place].strip()!r} (column {place + 1})" for place in found)
        raise ValueError(f"column {name!r} may be {both}")
    return column_keys(headers)[found[0]] if found else None


def is_missing(text: str) -> bool:
    """Whether a cell says that the value is unknown: empty, ``NaN``, ``N/A`` and the like."""
    return text.strip().lower() in MISSING


_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})|0,[0-9]+)")


def number(text: str) -> float | None:
    """The finite number that a cell holds, or ``None``.

    Digits are ASCII, without separators between them (``1_2`` is a code). A comma is a decimal one where it cannot
    separate thousands: ``61,5`` and ``0,125`` are numbers, ``1,204`` may be either and is none.
    """
    text = text.strip()
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if len(text) > 400 or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def code(text: str) -> str:
    """A cell as a code: ``1.0`` is ``1``; what a number would lose stays (``01``, ``1_2``, seven digits)."""
    text = text.strip()
    plain = re.fullmatch(r"([+-]?(?:0|[1-9][0-9]*))(?:[.,]0+)?", text)
    return plain[1].removeprefix("+") if plain else text


def read_table(
    path: Path,
    id_columns: tuple[str, ...] = ("patientid", "patient", "subjectid"),
    form: Callable[[str], str] = normalized,
) -> Table:
    """Rows of a CSV file, keyed by the first of ``id_columns`` it has.

    The separator is a comma, semicolon, tab or ``|``; the encoding UTF-8, UTF-16 with a
    byte-order mark, or Windows-1252.
    A file without such a column gives no rows and no problem: it is some other table. Of two rows for one patient
    the first is kept and an error names the patient. Names of columns are compared in their ``form``.
    """
    try:
        if reason := unreadable_reason(path):
            return Table(path, (), {}, (_unreadable(path, reason),))
        if path.stat().st_size > MAX_BYTES:
            return Table(path, (), {}, (_unreadable(path, f"more than {MAX_BYTES >> 20} MiB"),))
        data = path.read_bytes()
    except OSError as failure:
        return Table(path, (), {}, (_unreadable(path, failure.strerror or str(failure)),))
    text = _decoded(data)
    if reason := _no_table(data, text):
        return Table(path, (), {}, (_unreadable(path, reason),))
    separator, text = _separated(text)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as failure:
        return Table(path, (), {}, (_unreadable(path, f"a quotation mark is not closed or not alone: {failure}"),))
    headers = tuple(lines[0]) if lines else ()
    columns = column_keys(headers)
    try:
        id_column = next((key for name in id_columns if (key := column_key(headers, name, form)) is not None), None)
    except ValueError as doubled:
        row = problem("doubled-column", "", "", f"{path.name}: {doubled}")
        return Table(path, columns, {}, (row,), headers)
    if id_column is None:
        return Table(path, columns, {}, (), headers)
    return _keyed(path, headers, lines[1:], columns.index(id_column))


def _keyed(path: Path, headers: tuple[str, ...], lines: list[list[str]], key: int) -> Table:
    columns = column_keys(headers)
    rows: dict[str, Row] = {}
    problems = []
    for position, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        patient = cells[key].strip() if key < len(cells) else ""
        where = f"{path.name} line {position}"
        if not patient:
            problems.append(problem("row-without-id", "", "", f"{where} names no patient"))
        elif any(cell.strip() for cell in cells[len(columns) :]) or len(cells) < len(columns):
            found = f"{where} has {len(cells)} cells for {len(columns)} columns"
            problems.append(problem("ragged-row", patient, "", found))
        elif patient in rows:
            problems.append(problem("duplicate-row", patient, "", f"{where} is a second row for this patient"))
        else:
            rows[patient] = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
    if not rows and not problems:
        problems.append(_unreadable(path, "a header line without rows"))
    return Table(path, columns, rows, tuple(problems), headers)


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _separated(text: str) -> tuple[str, str]:
    """The separator, and the text without the line ``sep=;`` by which Excel says it."""
    if said := re.match(r"\s*sep=(.)\r?\n", text, re.IGNORECASE):
        return said[1], text[said.end() :]
    header = text.partition("\n")[0]
    return max(",;\t|", key=header.count), text


_MAGIC = {b"PK\x03\x04": "an Excel workbook (xlsx)", b"\xd0\xcf\x11\xe0": "an Excel workbook (xls)", b"%PDF": "a PDF"}


def _no_table(data: bytes, text: str) -> str:
    """Why the content of a file is no table; empty where it may be one."""
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return f"{kind}, binary content: save it as CSV"
    strange = sum(unicodedata.category(sign) == "Cc" and sign not in "\r\n\t" for sign in text[:4000])
    if strange * 20 > len(text[:4000]):
        return "binary content, or an encoding that is none of UTF-8, UTF-16 and Latin-1 (EBCDIC?)"
    if "\0" in text:
        return "binary content"
    if not text.strip("\ufeff\r\n\t ,;"):
        return "no content"
    if re.match(r"\s*<(!doctype|html|head|body|table|\?xml)\b", text, re.IGNORECASE):
        return "a web page, not a table: download the file itself"
    return ""


def _unreadable(path: Path, reason: str) -> Problem:
    return problem("unreadable-table", "", "", f"{path}: {reason}")


def parse_event(patient: str, task: str, text: str, codes: Mapping[str, bool]) -> tuple[bool | None, list[Problem]]:
    """Whether the event happened; ``None`` where unknown. ``codes`` holds what the texts mean; 1.0 counts as 1."""
    key = code(text)
    if key in codes:
        return codes[key], []
    if is_missing(text):
        return None, []
    return None, [problem("bad-event", patient, task, f"event {text!r}", expected="one of " + ", ".join(codes))]


def parse_time(patient: str, task: str, text: str) -> tuple[float | None, list[Problem]]:
    """Days to event or censoring; ``None`` where unknown or impossible."""
    if is_missing(text):
        return None, []
    value = number(text)
    if value is None or value > MAX_DAYS:
        return None, [problem("bad-time", patient, task, f"time {text!r}")]
    if value < 0:
        return None, [problem("negative-time", patient, task, f"time {text!r}")]
    if value == 0:
        return value, [problem("zero-time", patient, task, "a time of 0 days")]
    return value, []


def survival_label(
    patient: str,
    task: str,
    event: tuple[bool | None, list[Problem]],
    time: tuple[float | None, list[Problem]],
    *,
    expected: bool = True,
) -> tuple[SurvivalLabel | None, list[Problem]]:
    """The label of a parsed event and time, absent where either is; a row where it should be there and is not."""
    happened, days = event[0], time[0]
    problems = [*event[1], *time[1]]
    if happened is not None and days is not None:
        return SurvivalLabel(time_days=days, event=happened), problems
    if happened is None and days is None and not problems and expected:
        problems.append(problem("missing-label", patient, task, "no event and no time"))
    if happened is not None and not time[1]:
        problems.append(problem("missing-time", patient, task, f"event {int(happened)} without a time"))
    if days is not None and not event[1]:
        problems.append(problem("missing-event", patient, task, f"time {days:g} without an event status"))
    return None, problems


def parse_class(patient: str, task: str, text: str, codes: Mapping[str, int]) -> tuple[int | None, list[Problem]]:
    """Class id of a cell; ``None`` where unknown."""
    key = code(text)
    if key in codes:
        return codes[key], []
    if is_missing(text):
        return None, []
    return None, [problem("bad-class", patient, task, repr(text), expected="one of " + ", ".join(codes))]


def parse_value(patient: str, name: str, text: str, limits: tuple[float, float]) -> tuple[float | None, list[Problem]]:
    """A clinical number within ``limits``; ``None``, with a warning, where the text is something else."""
    if is_missing(text):
        return None, []
    value = number(text)
    if value is not None and limits[0] <= value <= limits[1]:
        return value, []
    expected = f"a number from {limits[0]:g} to {limits[1]:g}"
    return None, [problem("bad-value", patient, name, f"{name} {text!r}", expected=expected)]
