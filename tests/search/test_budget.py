"""One budget for search, finals and references."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from branchpoint.config import Config
from branchpoint.execution.run_spec import Outcome
from branchpoint.search.budget import StudyPlan
from branchpoint.search.suggest.runs import SearchRuns
from branchpoint.search.suggest.suggestions import Suggestions
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
    runs = SearchRuns(suggestions, epochs=12, spent=3)
    started = 0
    while (spec := runs.next()) is not None:
        started += 1
        for epoch in (1, 2, 3):
            runs.report(spec.name, epoch, 0.1 * epoch)
        runs.tell(Outcome(name=spec.name, state="COMPLETE", value=0.3))
    assert started == 3, "9 of 12 epochs were left"
    assert runs.exhausted
