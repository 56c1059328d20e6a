"""The choice of a finalist fold by fold, and which figures a study then gives."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from branchpoint.config import Config, DatasetConfig, SegmentationConfig, SplitConfig
from branchpoint.datasets.splits import Split
from branchpoint.execution.run_spec import SCORE
from branchpoint.search import final
from branchpoint.search.final import BEST, BY_FOLD, Finalist, Finals
from branchpoint.tasks.base import Summary

FIRST, SECOND = np.arange(10), np.arange(10, 20)


def finalist(width: int, label: str = "") -> Finalist:
    base = Config(
        dataset=DatasetConfig(size_voxels=(16, 16, 16)),
        tasks=(SegmentationConfig(name="tumour", target="tumour"),),
        split=SplitConfig(folds=2),
    )
    return Finalist(replace(base, network=replace(base.network, width=width)), (label,) if label else ())


def outlines(index: np.ndarray, dice: float) -> dict[str, Summary]:
    overlap = np.full((len(index), 1), round(1000 * dice))
    size = np.full((len(index), 1), 1000)
    labelled = np.ones(len(index), bool)
    return {"tumour": {"overlap": overlap, "predicted": size, "truth": size, "labelled": labelled, "index": index}}


@pytest.fixture
def finals(monkeypatch: pytest.MonkeyPatch) -> Finals:
    """Of two folds whose validation patients are the other fold's test patients."""
    cohort = SimpleNamespace(groups=[None] * 20, centers=[None] * 20, patient_ids=[f"P{i:02d}" for i in range(20)])
    monkeypatch.setattr(Finals, "_cohort", lambda self: cohort)

    def parts(prepared: Any, config: SplitConfig) -> Split:
        validation, test = (SECOND, FIRST) if config.fold == 0 else (FIRST, SECOND)
        return Split(np.array([], dtype=int), validation, test)

    monkeypatch.setattr(final, "split", parts)
    study = SimpleNamespace(name="s", objective=SCORE, store="", resources=None, setup=lambda: None)
    return Finals(study=study, epochs=1)


def test_each_fold_chooses_without_its_test_patients(finals: Finals, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first network is good on the first ten patients, whom fold 0 tests, the second on the others."""
    good_first, good_later = finalist(4), finalist(8)

    def seen(specs: Any, *_: Any) -> list[dict[str, Summary]]:
        quality = {4: {0: 0.2, 1: 0.9}, 8: {0: 0.8, 1: 0.3}}
        rows = {0: SECOND, 1: FIRST}
        return [
            outlines(rows[s.config.split.fold], quality[s.config.network.width][s.config.split.fold]) for s in specs
        ]

    monkeypatch.setattr(final, "validation_summaries", seen)
    assert finals._choices([good_first, good_later], good_later, 1) == [good_later, good_first]


@pytest.mark.parametrize("differ", [True, False])
def test_figures_are_those_of_the_choices_where_they_differ(
    finals: Finals, monkeypatch: pytest.MonkeyPatch, differ: bool
) -> None:
    best, other = finalist(4), finalist(8, "multi-task")
    given: dict[str, Any] = {}
    monkeypatch.setattr(final, "test_summaries", lambda specs, *_: [spec.name for spec in specs])
    monkeypatch.setattr(final, "untrained_summaries", lambda configs, *_: [])
    monkeypatch.setattr(final, "fold_references", lambda *_: [])
    monkeypatch.setattr(final, "figure_records", lambda **arguments: given.update(arguments) or [])
    monkeypatch.setattr(final, "Store", lambda uri: SimpleNamespace(writer=lambda name: SimpleNamespace(figures=len)))
    monkeypatch.setattr(Finals, "_chose_candidates", lambda self: np.array([], dtype=int))
    finals._test({BEST: best, "multi-task": other}, [best, other if differ else best], 1)
    assert list(given["configs"]) == ([BY_FOLD] if differ else []) + [BEST, "multi-task"], "the first is compared"
    assert given["models"][BEST] == [[spec.name for spec in best.specs()]]
    if differ:
        assert given["models"][BY_FOLD] == [[best.specs()[0].name, other.specs()[1].name]]


def test_another_objective_has_one_choice(finals: Finals) -> None:
    best = finalist(4)
    finals.study.objective = "validation/loss"
    assert finals._choices([best, finalist(8)], best, 1) == [best, best]
