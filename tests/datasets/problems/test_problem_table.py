"""Rows as JSON, CSV and a table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from branchpoint.datasets.problems.problem import CohortError
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.problems.table import COLUMNS, condense, print_problems, problems_to_json, write_problems_csv

ROWS = [
    problem("bad-event", "CHUM-001", "survival", "event 'yes, surely'", expected="one of 0, 1"),
    *(problem("oblique-direction", f"P{i}", "CT", "direction") for i in range(12)),
]


def test_json_and_csv_keep_every_row(tmp_path: Path) -> None:
    plain = json.loads(problems_to_json(ROWS))
    write_problems_csv(ROWS, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == plain
    assert len(plain) == 13
    assert list(plain[0]) == list(COLUMNS)
    assert plain[0]["found"] == "event 'yes, surely'"


def test_like_warnings_of_many_patients_become_one_line() -> None:
    rows = condense(ROWS)
    assert [row.patient for row in rows] == ["CHUM-001", "12 patients"]
    assert "12 times alike" in rows[1].found
    assert condense(ROWS[:5]) == ROWS[:5]


def test_errors_of_one_fault_are_grouped_behind_the_first_ten() -> None:
    rows = condense(problem("bad-event", f"P{i}", "survival", "event 2") for i in range(200_000))
    assert [row.patient for row in rows] == [*(f"P{i}" for i in range(10)), "199,990 more"]
    assert "--csv" in rows[-1].found
    assert {row.severity for row in rows} == {"error"}
    eleven = [problem("bad-event", f"P{i}", "survival", "event 2") for i in range(11)]
    assert condense(eleven) == eleven
    text = str(CohortError([problem("bad-event", f"P{i}", "survival", "event 2") for i in range(200_000)]))
    assert text.startswith("200000 problem(s) in the cohort:")
    assert text.endswith("and 199,900 more: `branchpoint check-data` lists them")


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_problems(ROWS, title="hecktor 2021: 60 patients")
    text = capsys.readouterr().out
    assert "CHUM-001" in text
    assert "bad-event" in text
    assert text.rstrip().endswith("hecktor 2021: 60 patients: 1 error, 12 warnings")
    print_problems([], title="sts")
    assert "nothing is wrong" in capsys.readouterr().out
