"""Tables as programs export them: separators, encodings, unknown values; and rows that would follow from others."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.datasets.readers.tables import is_missing, read_table
from tests.datasets.folder_builder import HEADER, build_folder, rows, write_table
from tests.datasets.picture_builder import check
from tests.datasets.release_builder import hecktor

LINES = ("id{0}age{0}site", "A{0}61,5{0}K\u00f6ln \u2013 Nord", "B{0}47{0}\u2013")


def text(separator: str) -> str:
    return "\n".join(LINES).format(separator) + "\n"


SOUND = {
    "semicolon": text(";").encode(),
    "tab": text("\t").encode(),
    "bar": text("|").encode(),
    "Windows-1252": text(";").encode("cp1252"),
    "UTF-16": text(";").encode("utf-16"),
    "Excel's separator line": ("sep=;\r\n" + text(";").replace("\n", "\r\n")).encode(),
}


@pytest.mark.parametrize("form", SOUND)
def test_forms_that_are_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(SOUND[form])
    table = read_table(path, ("id",))
    assert table.problems == ()
    assert table.rows["A"] == {"id": "A", "age": "61,5", "site": "K\u00f6ln \u2013 Nord"}
    assert is_missing(table.rows["B"]["site"])


NO_TABLE = {
    "a web page": b"<table><tr><td>id</td></tr></table>",
    "a login page": b"<!DOCTYPE html><html></html>",
    "EBCDIC": text(";").replace("\u2013", "-").encode("cp500"),
    "UTF-32": text(";").encode("utf-32"),
    "UTF-16 without mark": text(";").encode("utf-16-le"),
}


@pytest.mark.parametrize("kind", NO_TABLE)
def test_files_that_are_no_tables(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(NO_TABLE[kind])
    assert [row.rule for row in read_table(path, ("id",)).problems] == ["unreadable-table"]


@pytest.mark.parametrize(
    "word", ["--", "TBD", "not applicable", "Not reported", "keine Angabe", "pending", "n/k", "#N/A", "NaT", "?"]
)
def test_words_for_unknown_are_no_classes_centres_or_groups(tmp_path: Path, word: str) -> None:
    root = build_folder(tmp_path)
    lines = rows()
    lines[3][1] = lines[3][2] = lines[3][4] = word
    write_table(root, lines)
    assert {(row.rule, row.patient) for row in check("folder", root)} == {
        ("missing-group", "M03"),
        ("missing-label", "M03"),
    }


def test_a_ragged_row_is_said_once(tmp_path: Path) -> None:
    root = build_folder(tmp_path)
    lines = rows()
    lines[3].insert(5, "5")
    write_table(root, lines)
    assert [(row.rule, row.patient) for row in check("folder", root)] == [("ragged-row", "M03")]


def test_a_table_that_cannot_be_read_is_said_once(tmp_path: Path) -> None:
    root = build_folder(tmp_path)
    (root / "t.csv").write_bytes(b"PK\x03\x04")
    assert {row.rule for row in check("folder", root)} == {"unreadable-table"}


def test_a_doubled_covariate_is_said_once(tmp_path: Path) -> None:
    root = build_folder(tmp_path)
    write_table(root, [[*line, 1] for line in rows()], [*HEADER, "age"])
    assert [row.rule for row in check("folder", root)] == ["doubled-column"]


def added(root: Path, table: str, name: str, cells: list[str]) -> list[str]:
    release = hecktor(root, "2021")
    lines = release.rows(table)
    release.write_rows(table, [[*line, cell] for line, cell in zip(lines, [name, *cells], strict=True)])
    return [f"{row.rule} {row.found}" for row in release.check() if row.severity == "error"]


def test_two_columns_of_one_value_in_hecktor(tmp_path: Path) -> None:
    """Under one name, or under two that NAMES takes for one, which disagree."""
    events = [line[1] for line in hecktor(tmp_path / "a", "2021").rows("endpoint")[1:]]
    sexes = [line[2] for line in hecktor(tmp_path / "a", "2021").rows("clinical")[1:]]
    assert added(tmp_path / "b", "endpoint", "Progression", events)[0].endswith("has 2 columns 'progression'")
    assert added(tmp_path / "c", "endpoint", "Relapse", events) == []
    other = added(tmp_path / "d", "endpoint", "Relapse", ["0"] * len(events))
    assert "'Progression' and 'Relapse' differ for" in other[0]
    assert added(tmp_path / "e", "clinical", "Sex", ["FM"[int(float(code))] for code in sexes]) == []
