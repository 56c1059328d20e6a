"""Tables in the encodings and with the texts that people write."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.datasets.cohort import SurvivalLabel
from branchpoint.datasets.readers.tables import (
    code,
    column_key,
    normalized,
    number,
    parse_event,
    parse_time,
    parse_value,
    read_table,
    survival_label,
)

EVENTS = {"0": False, "1": True}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("HPV status (0=-, 1=+)", "hpvstatus"),
        ("Estimated weight (kg) for SUV", "estimatedweightforsuv"),
        ("Time - diagnosis to outcome (days)", "timediagnosistooutcome"),
        ("PatientID", "patientid"),
    ],
)
def test_normalized(header: str, expected: str) -> None:
    assert normalized(header) == expected


@pytest.mark.parametrize(
    "data",
    [
        "PatientID,Age,Site\nA,61,Lund\nB,,Sète\n".encode(),
        "\ufeffPatientID,Age,Site\r\nA,61,Lund\r\n\r\nB,,Sète\r\n".encode(),
        "PatientID;Age;Site\nA; 61 ;Lund\nB;;Sète\n".encode("latin-1"),
        "PatientID\tAge\tSite\nA\t61\tLund\nB\t\tSète".encode(),
    ],
    ids=["plain", "Excel", "semicolons", "tabs"],
)
def test_encodings_and_separators(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    table = read_table(path)
    assert table.rows["A"] == {"patientid": "A", "age": "61", "site": "Lund"}
    assert table.rows["B"] == {"patientid": "B", "age": "", "site": "Sète"}
    assert table.problems == ()


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(b"PatientID,Age\n" + data)
        read_table(path)
        path.write_bytes(data)
        read_table(path)


@given(st.text(max_size=12), st.text(max_size=12))
def test_a_label_or_a_reason_for_every_pair_of_texts(event: str, time: str) -> None:
    label, rows = survival_label(
        "P", "survival", parse_event("P", "survival", event, EVENTS), parse_time("P", "survival", time)
    )
    assert (label is not None) or rows
    assert all(row.patient == "P" and row.found and row.expected for row in rows)


@given(st.booleans(), st.floats(min_value=0.001, max_value=36_000))
def test_numbers_round_trip(event: bool, days: float) -> None:
    label, rows = survival_label(
        "P", "s", parse_event("P", "s", f"{event:d}.0", EVENTS), parse_time("P", "s", repr(days))
    )
    assert (label, rows) == (SurvivalLabel(days, event), [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("61,5", 61.5),
        ("0,125", 0.125),
        ("-3", -3.0),
        ("1e2", 100.0),
        (".5", 0.5),
        ("1,204", None),
        ("1_2", None),
        ("١٢", None),
        ("0x10", None),
        ("1.2.3", None),
        ("1e999", None),
        ("12 mm", None),
        ("infinity", None),
    ],
)
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1,0", "1"),
        ("+1", "1"),
        ("01", "01"),
        ("1_2", "1_2"),
        ("0", "0"),
        ("1.5", "1.5"),
        ("1234567", "1234567"),
        ("1234568.0", "1234568"),
        ("benign", "benign"),
    ],
)
def test_codes_that_look_like_numbers_stay_apart(text: str, canonical: str) -> None:
    assert code(text) == canonical


BROKEN = {
    "nothing": (b"", "no content"),
    "blank": (b"\n \n,,\n", "no content"),
    "a page": (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "a workbook": (b"PK\x03\x04\0\0", "an Excel workbook"),
    "a header alone": (b"PatientID,Age\n", "without rows"),
    "EBCDIC": ("PatientID,Age\nA,61\nB,70\n".encode("cp037"), "EBCDIC"),
    "an identifier twice": (b"PatientID,Age,patient id\nA,61,B\n", "column 'patientid' may be 'PatientID'"),
    "an unclosed quote": (b'PatientID,Note\nA,"fell\nB,x\n', "a quotation mark is not closed"),
    "a decimal comma": (b"PatientID,Age,Site\nA,61,5,Lund\n", "line 2 has 4 cells for 3 columns"),
    "a short row": (b"PatientID,Age,Site\nA,61\n", "line 2 has 2 cells for 3 columns"),
    "row names of R": (b"PatientID,Age\n1,A,61\n", "line 2 has 3 cells for 2 columns"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tables_are_rows(tmp_path: Path, name: str) -> None:
    data, found = BROKEN[name]
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    (row,) = read_table(path).problems
    assert row.severity == "error"
    assert found in row.found


def test_utf_16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("PatientID\tSite\nA\tSète\n".encode("utf-16"))
    assert read_table(path).rows["A"]["site"] == "Sète"


UNKNOWN = [
    "",
    "NaN",
    " nan ",
    "N/A",
    "null",
    "#N/A",
    "-",
    "?",
    "unknown",
    "Unknown",
    "n.a.",
    ".",
    "NaT",
    "#VALUE!",
    "NA",
]


@pytest.mark.parametrize("text", UNKNOWN)
def test_missing_is_not_wrong(text: str) -> None:
    assert parse_event("P", "s", text, EVENTS) == (None, [])
    assert parse_time("P", "s", text) == (None, [])
    assert parse_value("P", "age", text, (0, 120)) == (None, [])


@pytest.mark.parametrize("text", ["inf", "-inf", "1e9", "12 months", "1,204"])
def test_no_time(text: str) -> None:
    days, rows = parse_time("P", "s", text)
    assert days is None
    assert [repr(text) in row.found for row in rows] == [True]


ALIKE = [
    (("T+", "T-"), "T+", "T-", "t"),
    (("age (years)", "age (months)"), "age (years)", "age (months)", "age"),
    (("Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"), "Gr\u00f6\u00dfe", "Gro\u0308\u00dfe", "GR\u00d6SSE"),
    (("Age", "age"), "Age", "age", "AGE"),
    (("a_b", "ab"), "a_b", "ab", "a b"),
]


@pytest.mark.parametrize(("headers", "first", "second", "either"), ALIKE)
def test_exact_names_win_and_two_that_are_alike_are_refused(
    headers: tuple[str, str], first: str, second: str, either: str
) -> None:
    assert column_key(headers, first) != column_key(headers, second)
    with pytest.raises(ValueError, match="may be") as refused:
        column_key(headers, either)
    assert all(repr(header) in str(refused.value) for header in headers)


def test_letters_of_every_script_name_columns() -> None:
    headers = ("\u5e74\u9f84", "\u6027\u522b", "\u03b2", "b")
    assert len({column_key(headers, name) for name in headers}) == 4
    assert column_key(headers, "age") is None
    with pytest.raises(ValueError, match=r"column 1.*column 2"):
        column_key(("age", "age"), "age")
