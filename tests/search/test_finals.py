"""The choice of a finalist fold by fold, and which figures a study then gives."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from branchpoint.config import SCORE, Config, DatasetConfig, SegmentationConfig, SplitConfig
from branchpoint.datasets.splits import Split
from branchpoint.execution.recommendation import MIRRORED
from branchpoint.search import final
from branchpoint.search.final import BEST, BY_FOLD, Finalist, Finals
from branchpoint.tasks.base import Summary

FIRST, SECOND = np.arange(10), np.arange(10, 20)


def finalist(width: int, label: str = "") -> Finalist:
    base = Config(
        dataset=DatasetConfig(size_voxels=(32, 32, 32)),
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
    base = SimpleNamespace(split=SplitConfig(folds=2))
    study = SimpleNamespace(
        name="s", base=base, objective=SCORE, maximize=True, store="", resources=None, setup=lambda: None
    )
    monkeypatch.setattr(final, "Store", lambda uri: SimpleNamespace(writer=lambda name: SimpleNamespace(figures=len)))
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
    best, choices = finals._choose({"a": good_first, "b": good_later}, 1)
    assert choices == [good_later, good_first]
    assert best == good_first, "0.55 each: nothing tells them apart, and it is the smaller"


def test_seeds_are_runs_of_their_own(finals: Finals) -> None:
    """The first seed's runs keep the names that they have in a study of one seed."""
    one, three = finalist(4), replace(finalist(4), seeds=3)
    assert [spec.name for spec in one.specs()] == [f"{one.config.candidate}-fold{fold}" for fold in (0, 1)]
    assert three.by_seed()[0] == one.by_seed()[0]
    assert len({spec.name for spec in three.specs()}) == 6
    assert [spec.config.seed for spec in three.specs()] == [0, 1, 2, 0, 1, 2]
    assert {spec.config.candidate for spec in three.specs()} == {one.config.candidate}
    assert {spec.config.split.seed for spec in three.specs()} == {0}, "patients stay in their folds"
    titles = final.titles([three])
    assert titles[three.by_seed()[1][0].name].endswith("fold 1 of 2, seed 2")


def test_figures_are_over_all_seeds(finals: Finals, monkeypatch: pytest.MonkeyPatch) -> None:
    best = replace(finalist(4), seeds=2)
    other = replace(finalist(8, "multi-task"), seeds=2)
    given = figures_from(monkeypatch, finals, {BEST: best, "multi-task": other}, [best, other])
    assert given["models"]["multi-task"] == [[spec.name for spec in folds] for folds in other.by_seed()]
    by_fold = [[best.by_seed()[k][0].name, other.by_seed()[k][1].name] for k in (0, 1)]
    assert given["models"][BY_FOLD] == by_fold
    of_folds = ["+".join(spec.name for spec in specs) for specs in zip(*best.by_seed(), strict=True)]
    assert given["models"][f"{BEST}, mean of 2 networks"] == [of_folds]
    assert given["models"][f"{BEST}, mean of 2 networks, {MIRRORED}"] == [[f"{names} mirrored" for names in of_folds]]
    assert {given["configs"][label].candidate for label in given["models"] if "mean of" in label} == {
        best.config.candidate
    }, "so that the ensemble is not compared as if it were another finalist"


@pytest.mark.parametrize("differ", [True, False])
def test_figures_are_those_of_the_choices_where_they_differ(
    finals: Finals, monkeypatch: pytest.MonkeyPatch, differ: bool
) -> None:
    best, other = finalist(4), finalist(8, "multi-task")
    given = figures_from(monkeypatch, finals, {BEST: best, "multi-task": other}, [best, other if differ else best])
    named = ([BY_FOLD] if differ else []) + [BEST, "multi-task", f"{BEST}, {MIRRORED}"]
    assert list(given["configs"]) == named, "the first is compared"
    assert given["models"][BEST] == [[spec.name for spec in best.specs()]]
    if differ:
        assert given["models"][BY_FOLD] == [[best.specs()[0].name, other.specs()[1].name]]


def figures_from(
    monkeypatch: pytest.MonkeyPatch, finals: Finals, finalists: dict[str, Finalist], choices: list[Finalist]
) -> dict[str, Any]:
    """What the figures of ``finalists`` are made from; runs are their own names."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(final, "test_summaries", lambda specs, *_: [spec.name for spec in specs])

    def together(folds: Any, *_: Any, mirrored: bool) -> list[str]:
        return ["+".join(spec.name for spec in specs) + (" mirrored" if mirrored else "") for specs in folds]

    monkeypatch.setattr(final, "ensemble_summaries", together)
    monkeypatch.setattr(final, "untrained_summaries", lambda configs, *_: [])
    monkeypatch.setattr(final, "fold_references", lambda *_: [])
    monkeypatch.setattr(final, "figure_records", lambda **arguments: given.update(arguments) or [])
    monkeypatch.setattr(Finals, "_chose_candidates", lambda self: np.array([], dtype=int))
    finals._test(finalists, choices, 1)
    return given


def test_another_objective_has_one_choice(finals: Finals, monkeypatch: pytest.MonkeyPatch) -> None:
    best, other = finalist(4), finalist(8)
    finals.study.objective = "validation/loss"
    ended = {
        spec.name: SimpleNamespace(value=value) for each, value in ((best, 0.9), (other, 0.1)) for spec in each.specs()
    }
    monkeypatch.setattr(Finals, "_ended", lambda self: ended)
    assert finals._choose({"a": best, "b": other}, 1) == (best, [best, best])
