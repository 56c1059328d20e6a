"""Folds: disjoint, complete, stratified, and the same whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.config import SplitConfig
from branchpoint.datasets.splits import Split, split_patients, strata


def folds(ids: list[str], labels: np.ndarray, **changes: float) -> list[Split]:
    count = int(changes.get("folds", 5))
    return [split_patients(ids, labels, SplitConfig(**{**changes, "fold": fold})) for fold in range(count)]


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[str], np.ndarray, int, int]:
    count = draw(st.integers(8, 70))
    labels = draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count))
    return [f"P{n:03d}" for n in range(count)], np.array(labels), draw(st.integers(2, 6)), draw(st.integers(0, 5))


@given(cohorts())
@settings(max_examples=60, deadline=None)
def test_folds_divide_the_cohort(cohort: tuple[list[str], np.ndarray, int, int]) -> None:
    ids, labels, count, seed = cohort
    parts = folds(ids, labels, folds=count, seed=seed)
    assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(len(ids)))
    for part in parts:
        everyone = np.concatenate([part.train, part.validation, part.test])
        assert sorted(everyone.tolist()) == list(range(len(ids)))
        assert len(part.train)
        assert (np.diff(part.train) > 0).all()
    for stratum in np.unique(labels):
        shares = [int((labels[part.test] == stratum).sum()) for part in parts]
        assert max(shares) - min(shares) <= 1
    sizes = [len(part.test) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@given(cohorts(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_does_not_matter(cohort: tuple[list[str], np.ndarray, int, int], random: object) -> None:
    ids, labels, count, seed = cohort
    order = list(range(len(ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [ids[n] for n in order]
    for one, other in zip(
        folds(ids, labels, folds=count, seed=seed), folds(shuffled, labels[order], folds=count, seed=seed), strict=True
    ):
        for part in ("train", "validation", "test"):
            assert {ids[n] for n in getattr(one, part)} == {shuffled[n] for n in getattr(other, part)}


def test_published_scheme() -> None:
    """239 patients with 43 events (Andrearczyk et al. 2021): 8 or 9 events in each test fold, the rest 80/20."""
    ids = [f"P{n}" for n in range(239)]
    events = np.arange(239) < 43
    for part in folds(ids, events.astype(int)):
        assert len(part.test) in (47, 48)
        assert events[part.test].sum() in (8, 9)
        assert len(part.validation) == pytest.approx(0.2 * (len(part.train) + len(part.validation)), abs=1)
        assert events[part.validation].sum() == 7


def test_seed_changes_the_folds() -> None:
    ids, labels = [f"P{n}" for n in range(50)], np.zeros(50, int)
    first, second = (split_patients(ids, labels, SplitConfig(seed=seed)) for seed in (0, 1))
    assert set(first.test) != set(second.test)
    assert {*first.validation} != {*split_patients(ids, labels, SplitConfig(fold=1)).validation}


def test_rare_events_reach_validation() -> None:
    labels = np.zeros(40, int)
    labels[[3, 17, 31]] = 1
    for part in folds([f"P{n}" for n in range(40)], labels, folds=3):
        assert labels[part.test].sum() == 1
        assert labels[part.validation].sum() == 1
        assert labels[part.train].sum() == 1


def test_faulty_cohorts_are_refused() -> None:
    with pytest.raises(ValueError, match="patient 'A' occurs 2 times"):
        split_patients(["A", "B", "A", "C", "D", "E"], np.zeros(6, int), SplitConfig(folds=2))
    with pytest.raises(ValueError, match="5 patients cannot be split into 5 folds"):
        split_patients(list("ABCDE"), np.zeros(5, int), SplitConfig())


class _Labels:
    """The part of a prepared cohort that strata come from."""

    patient_ids = ("A", "B", "C", "D")
    groups = (None,) * 4

    def __init__(self, **targets: tuple[str, object, list[bool]]) -> None:
        self.targets = {name: kind for name, (kind, _, _) in targets.items()}
        self.labels = {name: np.array(values) for name, (_, values, _) in targets.items()}
        self.labelled = {name: np.array(known) for name, (_, _, known) in targets.items()}


def test_strata_are_events_else_classes_else_one() -> None:
    survival = ("survival", [[5.0, 1.0], [3.0, 0.0], [0.0, 0.0], [9.0, 1.0]], [True, True, False, True])
    censored = ("survival", [[5.0, 0.0]] * 4, [True] * 4)
    grade = ("classification", [2, 0, 1, 0], [True, True, True, False])
    assert strata(_Labels(grade=grade, os=censored, pfs=survival)).tolist() == [1, 0, -1, 1]  # type: ignore[arg-type]
    assert strata(_Labels(os=censored, grade=grade)).tolist() == [2, 0, 1, -1]  # type: ignore[arg-type]
    assert strata(_Labels(os=censored)).tolist() == [0, 0, 0, 0]  # type: ignore[arg-type]
