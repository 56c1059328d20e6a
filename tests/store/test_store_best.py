"""The best trials found through bounds against a plain ranking of all rows."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs as pafs

from branchpoint.store import Store, TrialRecord, encoding
from branchpoint.store import best as best_module

SCORES = st.one_of(st.sampled_from([0.5, 0.25, math.nan, -math.inf]), st.floats(-1, 1))
STATES = st.sampled_from(["COMPLETE", "COMPLETE", "COMPLETE", "RUNNING", "FAILED"])
ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 2), STATES, SCORES), min_size=1, max_size=40)


def record(number: int, attempt: int, state: str, score: float) -> TrialRecord:
    reason = "why" if state == "FAILED" else ""
    return TrialRecord(
        study="s",
        trial=f"{number:02d}",
        attempt=attempt,
        state=state,
        reason=reason,  # type: ignore[arg-type]
        metrics={"m": score, "other": -score},
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(batches=st.lists(ROWS, min_size=1, max_size=4), top=st.integers(1, 8), maximize=st.booleans())
def test_bounds_do_not_change_the_ranking(
    batches: list[list[tuple[int, int, str, float]]], top: int, maximize: bool
) -> None:
    store = Store("results", pafs._MockFileSystem(datetime.now(UTC)))
    latest: dict[int, tuple[int, str, float]] = {}
    with pytest.MonkeyPatch.context() as patch:  # small files and several row groups, for the reader, too
        patch.setattr(encoding, "PLAIN_ROWS", 3)
        patch.setattr(encoding, "ROW_GROUP_ROWS", 4)
        for batch in batches:
            store.writer("s", merge_every=0).append([record(*row) for row in batch])
            for number, attempt, state, score in batch:
                if number not in latest or latest[number][0] <= attempt:
                    latest[number] = (attempt, state, score)
        sign = 1 if maximize else -1
        values = [
            (-sign * score, number)
            for number, (_, state, score) in latest.items()
            if state == "COMPLETE" and math.isfinite(score)
        ]
        expected = [f"{number:02d}" for _, number in sorted(values)[:top]]
        if any(state == "COMPLETE" for _, state, _ in latest.values()):
            assert [row["trial"] for row in store.best("s", "m", top=top, maximize=maximize)] == expected


def test_few_row_groups_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("results", pafs._MockFileSystem(datetime.now(UTC)))
    monkeypatch.setattr(encoding, "ROW_GROUP_ROWS", 10)
    store.writer("s").append([record(i, 1, "COMPLETE", (i * 37 % 1000) / 1000) for i in range(1000)])
    read: list[int | None] = []

    def counted(file: object, group: int | None, columns: object) -> object:
        read.append(group)
        return original(file, group, columns)  # type: ignore[arg-type]

    original = best_module._read
    monkeypatch.setattr(best_module, "_read", counted)
    assert store.best("s", "m")[0]["value"] == 0.999
    assert len(read) <= 3  # of 100: the metrics of one, its trials, and the whole row
