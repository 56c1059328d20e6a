"""Which candidate a finished study recommends, and its final runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from branchpoint.execution.recommendation import final_runs, recommended
from branchpoint.store import FigureRecord, Store, TrialRecord

Named = tuple[str, Literal["model", "reference", "difference"], str]


def figures(store: Store, *named: Named) -> None:
    """Write one figure for each (label, kind, candidate)."""
    store.writer("s").figures(
        [
            FigureRecord(study="s", label=label, kind=kind, candidate=candidate, task="t", metric="dice", value=0.5)
            for label, kind, candidate in named
        ]
    )


def test_the_candidate_of_the_best_found_is_recommended(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    figures(store, ("all shared", "model", "a"), ("trained", "model", "b"), ("best found", "model", "c"))
    assert recommended(store, "s") == ("best found", "c")


@pytest.mark.parametrize(
    "named",
    [
        [("all shared", "model", "a")],
        [("best found", "model", "a"), ("best found", "model", "b")],
        [("best found", "difference", "a")],
        [("best found", "model", "")],
    ],
)
def test_no_single_tested_candidate_is_refused(tmp_path: Path, named: list[Named]) -> None:
    store = Store(str(tmp_path))
    figures(store, *named)
    with pytest.raises(ValueError, match=r"study 's' .* has no test figures of a best candidate yet; let it finish"):
        recommended(store, "s")


def test_final_runs_of_one_candidate_by_fold_and_seed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    writer = store.writer("s")
    runs = [
        ("b", "final", 1, 0),
        ("b", "final", 0, 1),
        ("b", "final", 0, 0),
        ("a", "final", 0, 0),
        ("b", "search", 2, 0),
    ]
    for number, (candidate, stage, fold, seed) in enumerate(runs):
        writer.trial(
            TrialRecord(
                study="s", trial=f"{number}", stage=stage, state="COMPLETE", candidate=candidate, fold=fold, seed=seed
            )
        )
    assert [row["trial"] for row in final_runs(store, "s", "b")] == ["2", "1", "0"]
