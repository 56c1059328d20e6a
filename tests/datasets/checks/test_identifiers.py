"""Identifiers that are one and the same but for their spelling, and labels that leave nothing to compare."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sksurv.metrics import concordance_index_censored

from branchpoint.datasets.checks.identifiers import alike, identifier_problems, loose_key
from branchpoint.datasets.checks.outcomes import outcome_problems, separate_pairs
from branchpoint.datasets.cohort import Cohort, Patient, SurvivalLabel

SAME = [
    ("P1", "p1"),
    ("P1", "P1 "),
    ("P1", "P 1"),
    ("P1", "P\u200b1"),
    ("P1", "\ufeffP1"),
    ("P1", "\uff301"),
    ("12", "12.0"),
    ("12", "0012"),
    ("Zo\u00eb", "Zoe\u0308"),
    ("stra\u00dfe", "STRASSE"),
]
DIFFERENT = [("P1", "P01"), ("P1", "P2"), ("12", "120"), ("1.5", "15"), ("A-1", "A1"), ("12.01", "12")]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_spellings_of_one_identifier(first: str, second: str) -> None:
    assert loose_key(first) == loose_key(second)
    assert alike([first, second, "other"]) == [sorted([first, second])]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_identifiers_that_differ(first: str, second: str) -> None:
    assert alike([first, second]) == []


@given(st.text())
def test_the_key_does_not_depend_on_the_form(text: str) -> None:
    key = loose_key(text)
    assert loose_key(key) == key
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert loose_key(unicodedata.normalize(form, text)) == key


def cohort(patients: list[Patient], **targets: str) -> Cohort:
    return Cohort(name="c", release="", root=Path("/"), modalities=("CT",), patients=tuple(patients), targets=targets)  # type: ignore[arg-type]


def test_rows_name_both_spellings_and_write_out_what_cannot_be_seen() -> None:
    found = identifier_problems(
        cohort([Patient(id="A", images={}, group="12"), Patient(id="a\u200b", images={}, group="12.0")])
    )
    assert [row.rule for row in found] == ["similar-ids", "similar-groups"]
    assert found[0].found == r"'A' and 'a\u200b' may be one patient"
    assert "'12' and '12.0'" in found[1].found


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([(400, True)] * 5, ["no-comparable-pair"]),
        ([(400, True)] * 4 + [(300, False)], ["no-comparable-pair"]),
        ([(400, True)] * 4 + [(400, False)], ["few-pairs", "one-event-time"]),
        ([(400, True)] * 4 + [(500, False)], ["few-pairs", "one-event-time"]),
        ([(400, True)] * 4 + [(500, False)] * 2, ["one-event-time"]),
        ([(400, True)] * 3 + [(500, True)] * 2, []),
        ([(300, False)] * 10 + [(800, True), (900, True)], ["few-events", "few-pairs"]),
        ([(900, True), (800, False), (700, True), (600, False), (500, True), (400, True)], []),
    ],
)
def test_outcomes_without_a_comparable_pair(outcomes: list[tuple[float, bool]], expected: list[str]) -> None:
    patients = [
        Patient(id=str(number), images={}, labels={"survival": SurvivalLabel(time_days=time, event=event)})
        for number, (time, event) in enumerate(outcomes)
    ]
    rows = outcome_problems(cohort(patients, survival="survival"), folds=2)
    assert [row.rule for row in rows] == expected


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=2, max_size=7), st.integers(1, 3))
def test_separate_pairs_are_as_many_as_a_search_of_all_matchings_finds(outcomes: list, most: int) -> None:
    labels = [SurvivalLabel(time_days=float(time), event=event) for time, event in outcomes]

    def best(left: tuple[int, ...]) -> int:
        pairs = [
            (a, b)
            for a in left
            for b in left
            if labels[a].event
            and (labels[a].time_days, labels[a].event) != (labels[b].time_days, labels[b].event)
            and (labels[a].time_days, 0) < (labels[b].time_days, int(not labels[b].event))
        ]
        return max((1 + best(tuple(n for n in left if n not in pair)) for pair in pairs), default=0)

    assert separate_pairs(labels, most) == min(most, best(tuple(range(len(labels)))))


def test_the_c_index_knows_no_pair_where_the_rule_says_so() -> None:
    """Against scikit-survival, which counts no pair in exactly such cohorts."""
    event, time = np.array([True] * 4 + [False]), np.array([400.0] * 4 + [300.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert concordance_index_censored(event, time, np.arange(5.0))[1:4] == (0, 0, 0)
    time[4] = 400.0
    assert concordance_index_censored(event, time, np.arange(5.0))[1:3] == (0, 4)
