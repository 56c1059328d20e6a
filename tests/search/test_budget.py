"""One budget for search, finals and references."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from branchpoint.config import Config
from branchpoint.execution.run_spec import Outcome
from branchpoint.search.budget import Budget, Spent, StudyPlan, duration
from branchpoint.search.suggest.runs import SearchRuns, TimeLimit
from branchpoint.search.suggest.suggestions import Suggestions
from branchpoint.store import EpochRecord, Store, TrialRecord
from tests.search.search_toys import toy_space

PLAN = StudyPlan(
    budget=1000,
    trials=40,
    trial_epochs=20,
    grace=6,
    candidates=3,
    references=4,
    runs=5,
    final_epochs=20,
    compared=10,
    compared_in_finals=38,
)


def test_the_search_gets_what_finals_and_references_leave() -> None:
    assert (PLAN.finals, PLAN.for_references, PLAN.search) == (3 * 4 * 20, 4 * 5 * 20, 360)
    assert replace(PLAN, final_epochs=10).finals == 3 * 5 * 10, "trials of another budget are not taken over"
    assert replace(PLAN, budget=None).search is None
    text = PLAN.text()
    assert "at most 1,000 epochs: search 360 (36%), finals 240 (24%), references 400 (40%)" in text
    assert "18 to 40 trials" in text
    assert "10 validation samples" in text


def test_a_budget_that_is_too_small_says_what_would_do() -> None:
    small = replace(PLAN, budget=699)
    with pytest.raises(ValueError, match="--budget 700 or more"):
        _ = small.search
    assert replace(PLAN, budget=700).search == 60


def test_no_trial_starts_when_the_budget_is_spent(tmp_path: Path, base: Config) -> None:
    """Three of six epochs for every trial: the fourth reaches 12, and the started ones may end."""
    suggestions = Suggestions(tmp_path / "journal.log", "toy", toy_space, base, trials=20)
    runs = SearchRuns(suggestions, epochs=12, spent=Spent(epochs=3))
    started = 0
    while (spec := runs.next()) is not None:
        started += 1
        for epoch in (1, 2, 3):
            runs.report(spec.name, epoch, 0.1 * epoch)
        runs.tell(Outcome(name=spec.name, state="COMPLETE", value=0.3))
    assert started == 3, "9 of 12 epochs were left"
    assert runs.exhausted


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        (None, Budget()),
        ("2000", Budget(epochs=2000)),
        ("8h", Budget(seconds=8 * 3600)),
        (" 90M", Budget(seconds=5400)),
        ("1.5 d", Budget(seconds=129_600)),
        ("30s", Budget(seconds=30)),
    ],
)
def test_a_budget_is_epochs_or_time(text: str | None, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize("text", ["", "0", "0h", "-3", "1.5", "8 hours", "h", "1e3", "nan"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--budget is .*90m, 8h"):
        Budget.parse(text)


def test_durations_in_words() -> None:
    assert [duration(seconds) for seconds in (7.4, 600, 9000)] == ["7 s", "10 min", "2.5 h"]


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "spent", "expected"),
    [
        (200, Spent(), 10),
        (200, Spent(seconds=50.0), 5),
        (2, Spent(), 2),
        (2, Spent(seconds=9.0, complete=2), 0),
        (100, Spent(epochs=3, training_seconds=10.0, seconds=10.0, complete=2), 0),
    ],
)
def test_a_search_leaves_the_time_that_finals_need(
    tmp_path: Path, base: Config, seconds: float, spent: Spent, expected: int
) -> None:
    """Trials take 10 s for 3 epochs and finals 30 epochs: (200 - 100) / 10 trials."""
    clock = Clock()
    suggestions = Suggestions(tmp_path / "journal.log", "toy", toy_space, base, trials=50)
    limit = TimeLimit(seconds=seconds, trial_epochs=3, later_epochs=30, concurrency=1, least=2)
    runs = SearchRuns(suggestions, spent=spent, limit=limit, clock=clock)
    started = 0
    while (spec := runs.next()) is not None:
        started += 1
        for epoch in (1, 2, 3):
            clock.now += 10 / 3
            runs.report(spec.name, epoch, 0.1 * epoch)
        runs.tell(Outcome(name=spec.name, state="COMPLETE", value=0.3))
    assert started == expected
    assert runs.exhausted
    assert clock.now == pytest.approx(10 * started)


def test_the_start_of_the_first_trial_is_not_expected_again(tmp_path: Path, base: Config) -> None:
    """It takes 60 s, those of the others 1 s, an epoch 2 s: (300 - 60 - 12 of the first - 13 x 2 later) / 13 more."""
    clock = Clock()
    suggestions = Suggestions(tmp_path / "journal.log", "toy", toy_space, base, trials=90)
    limit = TimeLimit(seconds=300, trial_epochs=6, later_epochs=12, concurrency=1, least=2)
    runs = SearchRuns(suggestions, limit=limit, clock=clock)
    started = 0
    while (spec := runs.next()) is not None:
        clock.now += 1 if started else 60
        started += 1
        for epoch in range(1, 7):
            clock.now += 2
            runs.report(spec.name, epoch, 0.1)
        runs.tell(Outcome(name=spec.name, state="COMPLETE", value=0.3))
    assert started == 1 + (300 - 72 - 26) // 13
    assert runs.seconds_for(12) == pytest.approx(26)


def test_a_search_waits_while_what_runs_may_still_need_the_time(tmp_path: Path, base: Config) -> None:
    clock = Clock()
    suggestions = Suggestions(tmp_path / "journal.log", "toy", toy_space, base, trials=50)
    limit = TimeLimit(seconds=22, trial_epochs=10, later_epochs=0, concurrency=1)
    runs = SearchRuns(suggestions, limit=limit, clock=clock)
    first, second = runs.next(), None
    assert first is not None
    for epoch in (1, 2):
        clock.now += 1
        runs.report(first.name, epoch, 0.5)
    second = runs.next()
    assert second is not None, "2 s so far, 8 and 10 epochs of 1 s each to come"
    assert runs.next() is None, "a third does not fit while both may go on"
    assert not runs.exhausted
    for stopped in (first, second):
        runs.tell(Outcome(name=stopped.name, state="PRUNED", value=0.5))
    assert runs.next() is not None, "2 s so far"


def test_what_killed_attempts_took_is_spent_too(tmp_path: Path) -> None:
    """The first attempt at a trial was killed after two epochs; finals and other studies do not count."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    store = Store(str(tmp_path))
    writer = store.writer("s")
    for trial, attempt, state, stage, seconds in (
        ("0000", 1, "RUNNING", "search", None),
        ("0000", 2, "COMPLETE", "search", 30),
        ("x-fold0", 1, "COMPLETE", "final", 99),
    ):
        finished = None if seconds is None else begun + timedelta(seconds=seconds)
        record = TrialRecord(study="s", trial=trial, attempt=attempt, state="RUNNING", stage="search", started=begun)
        writer.trial(replace(record, state=state, stage=stage, finished=finished))
        for epoch in (1, 2):
            writer.epoch(EpochRecord(study="s", trial=trial, attempt=attempt, epoch=epoch, seconds=4.0))
    assert Spent.of(store, "s") == Spent(epochs=4, training_seconds=16.0, seconds=8.0 + 30.0, complete=1)
    assert Spent.of(store, "another") == Spent()


def test_trials_that_a_kill_left_unfinished_come_whatever_the_time(tmp_path: Path, base: Config) -> None:
    journal = tmp_path / "journal.log"
    killed = Suggestions(journal, "toy", toy_space, base, trials=9).next()
    assert killed is not None
    limit = TimeLimit(seconds=1, trial_epochs=3, later_epochs=0, concurrency=1)
    again = Suggestions(journal, "toy", toy_space, base, trials=9)
    runs = SearchRuns(again, spent=Spent(seconds=9.0, complete=1), limit=limit)
    spec = runs.next()
    assert spec is not None
    assert spec.name == killed.name
    assert runs.next() is None


def test_runs_at_once_share_the_time(tmp_path: Path, base: Config) -> None:
    """Pairs of trials of 10 s, and 2 s between them that nobody uses: 4 pairs in 50 s, as finals need the last 10 s."""
    clock = Clock()
    suggestions = Suggestions(tmp_path / "journal.log", "toy", toy_space, base, trials=50)
    limit = TimeLimit(seconds=60, trial_epochs=2, later_epochs=4, concurrency=2)
    runs = SearchRuns(suggestions, limit=limit, clock=clock)
    started = 0
    while specs := [spec for spec in (runs.next(), runs.next()) if spec]:
        started += len(specs)
        for epoch in (1, 2):
            clock.now += 5
            for spec in specs:
                runs.report(spec.name, epoch, 0.1)
        for spec in specs:
            runs.tell(Outcome(name=spec.name, state="COMPLETE", value=0.3))
        clock.now += 2
    assert started == 8
    assert clock.now == 48
