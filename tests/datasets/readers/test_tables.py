"""Tables in the encodings and with the texts that people write."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.datasets.cohort import SurvivalLabel
from branchpoint.datasets.readers.tables import (
    normalized,
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


@pytest.mark.parametrize("text", ["", "NaN", " nan ", "N/A", "null"])
def test_missing_is_not_wrong(text: str) -> None:
    assert parse_event("P", "s", text, EVENTS) == (None, [])
    assert parse_time("P", "s", text) == (None, [])
    assert parse_value("P", "age", text, (0, 120)) == (None, [])


@pytest.mark.parametrize("text", ["inf", "-inf", "1e9", "12 months", "1,204"])
def test_no_time(text: str) -> None:
    days, rows = parse_time("P", "s", text)
    assert days is None
    assert [repr(text) in row.found for row in rows] == [True]
