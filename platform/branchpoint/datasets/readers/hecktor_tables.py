"""HECKTOR's clinical, endpoint and bounding-box tables, brought to one set of names over all releases.

Tables are recognised by their columns, not by their file names, which differ between releases and mirrors.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from branchpoint.datasets.cohort import Box, Label, SurvivalLabel
from branchpoint.datasets.files import listed
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.tables import (
    Table,
    is_missing,
    normalized,
    number,
    parse_class,
    parse_event,
    parse_time,
    parse_value,
    read_table,
    survival_label,
)

NAMES = {
    "centerid": "center",
    "centreid": "center",
    "center": "center",
    "centre": "center",
    "gender": "sex",
    "sex": "sex",
    "age": "age",
    "tobacco": "tobacco",
    "tobaccoconsumption": "tobacco",
    "alcohol": "alcohol",
    "alcoholconsumption": "alcohol",
    "performancestatus": "performance_status",
    "hpv": "hpv",
    "hpvstatus": "hpv",
    "tnmedition": "tnm_edition",
    "tstage": "t_stage",
    "nstage": "n_stage",
    "mstage": "m_stage",
    "tnmgroup": "tnm_group",
    "chemotherapy": "chemotherapy",
    "surgery": "surgery",
    "treatment": "treatment",
    "weight": "weight_kg",
    "estimatedweightforsuv": "weight_kg",
    "progression": "event",
    "relapse": "event",
    "progressionfreesurvival": "time",
    "pfs": "time",
    "rfs": "time",
    "relapsefreesurvival": "time",
    "task2": "task2",
    "x1": "x1",
    "x2": "x2",
    "y1": "y1",
    "y2": "y2",
    "z1": "z1",
    "z2": "z2",
}
"""Normalised column to standard name."""

BOX = ("x1", "x2", "y1", "y2", "z1", "z2")
LIMITS = {
    "age": (0.0, 120.0),
    "weight_kg": (10.0, 350.0),
    "performance_status": (0.0, 5.0),
    "tnm_edition": (1.0, 9.0),
    "tobacco": (0.0, 1.0),
    "alcohol": (0.0, 1.0),
    "chemotherapy": (0.0, 1.0),
    "surgery": (0.0, 1.0),
}
"""Clinical numbers and what they can be: kilograms, years, ECOG 0 to 5, yes 1 and no 0."""

TEXTS = ("t_stage", "n_stage", "m_stage", "tnm_group", "treatment")
SEXES = {"1": "M", "0": "F", "m": "M", "f": "F", "male": "M", "female": "F"}
EVENTS = {"0": False, "1": True}
HPV = {"0": 0, "1": 1}

Record = dict[str, str]
"""Standard name to the text of the cell."""


@dataclass
class HecktorTables:
    """Everything the tables say.

    Attributes:
        records: patient to record.
        rows: kind of table that was found (``survival``, ``clinical``, ``box``) to the patients it has a row for.
        testing: patients that a table of the test set names; they have no labels.
    """

    records: dict[str, Record] = field(default_factory=dict)
    rows: dict[str, set[str]] = field(default_factory=dict)
    testing: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def read_tables(files: Sequence[Path]) -> HecktorTables:
    """Merge the HECKTOR tables among ``files``; other CSV files are passed over."""
    tables = HecktorTables()
    for path in files:
        table = read_table(path)
        columns = [normalized(header) for header in table.headers]
        kinds = kinds_of({NAMES[column] for column in columns if column in NAMES}, columns)
        if not kinds:
            if "hecktor" in path.name.lower():  # another project's faulty table is not this cohort's problem
                tables.problems.extend(table.problems or (_no_columns(path, table.columns),))
            continue
        if re.search("test", path.name, re.IGNORECASE):
            tables.testing.update(table.rows)
            continue
        for kind in kinds:
            tables.rows.setdefault(kind, set()).update(table.rows)
        tables.problems.extend((*table.problems, *_doubled(path, table)))
        for patient, row in table.rows.items():
            for column, text in row.items():
                if column in NAMES:
                    _merge(tables, patient, {NAMES[column]: text}, path.name)
    tables.testing -= set(tables.records)
    return tables


def kinds_of(names: set[str], columns: Sequence[str]) -> set[str]:
    """What a table with these columns tells: ``survival``, ``box`` and ``clinical``."""
    kinds = set()
    if {"event", "time"} <= names:
        kinds.add("survival")
    if names.issuperset(BOX):
        kinds.add("box")
    if "gender" in columns or len(names & {"center", "tobacco", "hpv", "performance_status", "t_stage"}) >= 2:
        kinds.add("clinical")
    return kinds if "patientid" in columns else set()


def _doubled(path: Path, table: Table) -> list[Problem]:
    """A row for each value that the header has two columns of: of one name, or of two that disagree."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for header in table.headers:
        if normalized(header) in NAMES:
            by_name[NAMES[normalized(header)]].append(header.strip())
    rows = []
    for name, headers in by_name.items():
        plain = [normalized(header) for header in headers]
        if len(set(plain)) < len(plain):
            rows.append(problem("doubled-column", "", "", f"{path.name} has {len(plain)} columns {plain[0]!r}"))
        elif differ := [patient for patient, row in table.rows.items() if _differ(name, [row[key] for key in plain])]:
            found = f"{path.name}: {' and '.join(map(repr, headers))} differ for {listed(differ)}"
            rows.append(problem("doubled-column", "", "", found))
    return rows


def _differ(name: str, texts: Sequence[str]) -> bool:
    return len({_meaning(name, text) for text in texts if not is_missing(text)}) > 1


def _meaning(name: str, text: str) -> float | str:
    """What a cell says, whichever way it is written: ``1.0`` is ``1``, and ``M`` is ``1`` of a sex."""
    if name == "sex":
        return SEXES.get(text.lower().removesuffix(".0"), text)
    value = number(text)
    return text if value is None else value


def _no_columns(path: Path, columns: Sequence[str]) -> Problem:
    return problem(
        "missing-column",
        "",
        "",
        f"{path.name} has the columns {', '.join(columns) or 'none'}",
        expected="PatientID with an endpoint, clinical values, or x1,x2,y1,y2,z1,z2",
    )


def _merge(tables: HecktorTables, patient: str, named: Record, source: str) -> None:
    record = tables.records.setdefault(patient, {})
    for name, text in named.items():
        held = record.get(name, "")
        if is_missing(held):
            record[name] = text
        elif not is_missing(text) and _meaning(name, text) != _meaning(name, held):
            found = f"{held!r}, but {text!r} in {source}"
            tables.problems.append(problem("conflicting-tables", patient, name, found))


def covariates(patient: str, record: Record) -> tuple[dict[str, float | str | None], list[Problem]]:
    """Clinical values by standard name; ``None`` where missing. Sex is ``M`` or ``F``, stages are texts."""
    values: dict[str, float | str | None] = {}
    problems: list[Problem] = []
    for name, limits in LIMITS.items():
        if name in record:
            values[name], rows = parse_value(patient, name, record[name], limits)
            problems.extend(rows)
    for name in TEXTS:
        if name in record:
            values[name] = None if is_missing(record[name]) else record[name]
    if "hpv" in record:
        status = parse_class(patient, "hpv", record["hpv"], HPV)[0]  # its rows come with the label
        values["hpv"] = None if status is None else float(status)
    if "sex" in record:
        text = record["sex"].lower().removesuffix(".0")
        values["sex"] = SEXES.get(text)
        if text not in SEXES and not is_missing(text):
            problems.append(problem("bad-value", patient, "sex", repr(record["sex"]), expected="M, F, 1 or 0"))
    return values, problems


def center(patient: str, record: Record) -> str | None:
    """CenterID where a table has it, else the letters that the identifier starts with (``CHUM-001`` -> ``CHUM``)."""
    text = record.get("center", "")
    if not is_missing(text):
        return text.removesuffix(".0")
    letters = re.match(r"[A-Za-z]+", patient)
    return letters.group() if letters else None


def labels(patient: str, record: Record) -> tuple[dict[str, Label], list[Problem]]:
    """Survival and HPV status of a record, and what is wrong with them."""
    event = parse_event(patient, "survival", record.get("event", ""), EVENTS)
    time = parse_time(patient, "survival", record.get("time", ""))
    expected = "event" in record and record.get("task2") != "0"
    survival, problems = survival_label(patient, "survival", event, time, expected=expected)
    hpv, hpv_problems = parse_class(patient, "hpv", record.get("hpv", ""), HPV)
    found: Mapping[str, SurvivalLabel | int | None] = {"survival": survival, "hpv": hpv}
    return {name: label for name, label in found.items() if label is not None}, problems + hpv_problems


def bounding_box(patient: str, record: Record) -> tuple[Box | None, list[Problem]]:
    """The published box, millimetres in physical space; ``None`` where the tables have none."""
    if not record.keys() & set(BOX):
        return None, []
    texts = [record.get(name, "") for name in BOX]
    values = [value for value in map(number, texts) if value is not None]
    if len(values) == 6 and all(values[axis] < values[axis + 1] for axis in (0, 2, 4)):
        x1, x2, y1, y2, z1, z2 = values
        return Box((x1, y1, z1), (x2, y2, z2)), []
    return None, [problem("bad-box", patient, "box", ", ".join(texts))]
