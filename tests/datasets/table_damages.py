"""Faults of tables and outcomes, and of where the root points to."""

from __future__ import annotations

from collections.abc import Callable

from tests.datasets.damages import PID, Damage, both, cell, one
from tests.datasets.release_builder import IDS, STS_IDS, Release

EVENT, DAYS, HPV = "Progression", "Progression free survival", "HPV status (0=-, 1=+)"
SICK = STS_IDS[2]


def without_row(table: str) -> Callable[[Release], None]:
    return lambda release: release.write_rows(table, [row for row in release.rows(table) if row[0] != PID])


def doubled_row(table: str) -> Callable[[Release], None]:
    return lambda release: release.write_rows(
        table, [*release.rows(table), next(row for row in release.rows(table) if row[0] == PID)]
    )


def added_row(table: str, row: list[object]) -> Callable[[Release], None]:
    return lambda release: release.write_rows(table, [*release.rows(table), row])


def column(table: str, name: str, change: Callable[[str], object]) -> Callable[[Release], None]:
    """Change every cell of a column."""

    def do(release: Release) -> None:
        rows = release.rows(table)
        at = rows[0].index(name)
        release.write_rows(table, [rows[0], *([*row[:at], change(row[at]), *row[at + 1 :]] for row in rows[1:])])

    return do


def _second_copy(release: Release) -> None:
    folder = release.root / "backup"
    folder.mkdir()
    path = release.path(PID, "CT")
    (folder / path.name).write_bytes(path.read_bytes())


def _second_table(release: Release) -> None:
    (release.root / "hecktor2021_more.csv").write_text(f"PatientID,Gender,Age\n{PID},1,99\n")


def _binary(table: str) -> Callable[[Release], object]:
    return lambda release: release.tables[table].write_bytes(b"PK\x03\x04\0\0\0\0hecktor")


def _header(table: str, line: str) -> Callable[[Release], None]:
    return lambda release: release.write_rows(table, [line.split(","), *release.rows(table)[1:]])


def _decimal_comma(release: Release) -> None:
    with release.tables["endpoint"].open("a") as table:
        table.write("CHUM-998,0,20,5,7\n")


TABLES = (
    one("a decimal comma", _decimal_comma, "ragged-row", "", "5 cells for 3 columns", patient="CHUM-998"),
    one("event in words", cell("endpoint", EVENT, "yes"), "bad-event", "survival", "'yes'"),
    one("event of 2", cell("endpoint", EVENT, "2"), "bad-event", "survival", "'2'"),
    one("time in words", cell("endpoint", DAYS, "five years"), "bad-time", "survival", "'five years'"),
    one("a date for a time", cell("endpoint", DAYS, "20210304"), "bad-time", "survival", "20210304"),
    one("negative time", cell("endpoint", DAYS, "-3"), "negative-time", "survival", "'-3'"),
    one("zero time", cell("endpoint", DAYS, "0"), "zero-time", "survival"),
    one("no time", cell("endpoint", DAYS, ""), "missing-time", "survival", "event 0"),
    one("no event", cell("endpoint", EVENT, "NaN"), "missing-event", "survival", "2037"),
    one("no outcome", both(cell("endpoint", DAYS, ""), cell("endpoint", EVENT, "")), "missing-label", "survival"),
    one("HPV of 3", cell("clinical", HPV, "3"), "bad-class", "hpv", "'3'"),
    one("age in words", cell("clinical", "Age", "sixty"), "bad-value", "age", "sixty"),
    one("age of a tree", cell("clinical", "Age", "600"), "bad-value", "age", "600"),
    one("unknown sex", cell("clinical", "Gender (1=M,0=F)", "7"), "bad-value", "sex", "'7'"),
    one("no endpoint row", without_row("endpoint"), "images-without-row", "", "survival"),
    one(
        "no row at all", both(*map(without_row, ("endpoint", "clinical", "box"))), "images-without-row", "", "survival"
    ),
    one("two rows", doubled_row("endpoint"), "duplicate-row", "", "line 8"),
    one("row without identifier", added_row("endpoint", ["", 1, 20]), "row-without-id", "", "line 8", patient=""),
    one("row without images", added_row("endpoint", ["CHUM-999", 0, 20]), "row-without-images", "", patient="CHUM-999"),
    one("two copies", _second_copy, "duplicate-patient", "CT", "backup"),
    one("tables disagree", _second_table, "conflicting-tables", "age", "'99', but '61'"),
    Damage(
        "binary table",
        _binary("endpoint"),
        (("unreadable-table", "", ""), ("missing-table", "", "survival")),
        "binary content",
    ),
    Damage(
        "other header",
        _header("endpoint", "PatientID,a,b"),
        (("missing-column", "", ""), ("missing-table", "", "survival")),
        "patientid, a, b",
    ),
    one("no bounding boxes", lambda release: release.tables["box"].unlink(), "missing-table", "box", patient=""),
    one("few events", column("endpoint", EVENT, lambda text: 0), "too-few-events", "survival", "0 events", patient=""),
    one(
        "one event for each fold",
        both(*(cell("endpoint", EVENT, 0, pid) for pid in (IDS[0], IDS[2], IDS[3]))),
        "few-events",
        "survival",
        "2 events in 6",
        patient="",
    ),
    one(
        "one case",
        both(*(cell("clinical", HPV, 0, pid) for pid in (IDS[1], IDS[3]))),
        "few-cases",
        "hpv",
        "1 of class 1, for 2 folds",
        patient="",
    ),
    one("one class", column("clinical", HPV, lambda text: 1), "few-cases", "hpv", "class 1 only", patient=""),
    one(
        "times in months",
        column("endpoint", DAYS, lambda text: int(text) / 30.44),
        "time-unit",
        "survival",
        "months",
        patient="",
    ),
    one(
        "times in years",
        column("endpoint", DAYS, lambda text: int(text) / 365),
        "time-unit",
        "survival",
        "years",
        patient="",
    ),
    one(
        "STS status",
        cell("clinical", "Status (NED, AWD, D)", "lost", SICK),
        "bad-event",
        "overall_survival",
        "'lost'",
        "sts",
        SICK,
    ),
    one(
        "STS outcome without time",
        cell("clinical", "Time - diagnosis to outcome (days)", "--", SICK),
        "missing-time",
        "recurrence",
        "event 1",
        "sts",
        SICK,
    ),
    one(
        "STS negative outcome",
        cell("clinical", "Time - diagnosis to outcome (days)", "-266", SICK),
        "negative-time",
        "recurrence",
        "'-266'",
        "sts",
        SICK,
    ),
    one(
        "STS lung metastasis",
        cell("clinical", "LungMets", "maybe", SICK),
        "bad-class",
        "lung_metastasis",
        "'maybe'",
        "sts",
        SICK,
    ),
    one("STS grade", cell("clinical", "Grade", "G3", SICK), "bad-class", "grade", "'G3'", "sts", SICK),
    one(
        "STS follow-up",
        cell("clinical", "Time - diagnosis to last follow-up (days)", "-1", STS_IDS[1]),
        "negative-time",
        "overall_survival",
        "'-1'",
        "sts",
        STS_IDS[1],
    ),
)
