"""Folds of whole groups, and parts that come with the data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.config import SplitConfig
from branchpoint.datasets.splits import Split, split, split_groups, split_patients

FOLDS = 3


@st.composite
def grouped(draw: st.DrawFn) -> tuple[list[str], list[str | None], np.ndarray, int]:
    count = draw(st.integers(12, 60))
    names = [*(f"G{n}" for n in range(draw(st.integers(6, 12)))), None]
    groups = draw(st.lists(st.sampled_from(names), min_size=count, max_size=count))
    strata = draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count))
    return [f"S{n:03d}" for n in range(count)], groups, np.array(strata), draw(st.integers(0, 3))


def units(ids: list[str], groups: list[str | None], part: np.ndarray) -> set[str]:
    return {groups[row] or ids[row] for row in part}


@given(grouped())
@settings(max_examples=60, deadline=None)
def test_no_group_is_parted(cohort: tuple[list[str], list[str | None], np.ndarray, int]) -> None:
    ids, groups, strata, seed = cohort
    if len(units(ids, groups, np.arange(len(ids)))) < FOLDS + 1:
        return
    tested: list[int] = []
    for fold in range(FOLDS):
        found = split_groups(ids, groups, strata, SplitConfig(folds=FOLDS, fold=fold, seed=seed))
        parts = (found.train, found.validation, found.test)
        names = [units(ids, groups, part) for part in parts]
        assert len(set.union(*names)) == sum(map(len, names))
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(ids)))
        tested += found.test.tolist()
    assert sorted(tested) == list(range(len(ids)))


@given(grouped(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_does_not_matter(cohort: tuple[list[str], list[str | None], np.ndarray, int], random: Any) -> None:
    ids, groups, strata, seed = cohort
    if len(units(ids, groups, np.arange(len(ids)))) < FOLDS + 1:
        return
    order = list(range(len(ids)))
    random.shuffle(order)
    config = SplitConfig(folds=FOLDS, seed=seed)
    one = split_groups(ids, groups, strata, config)
    other = split_groups([ids[n] for n in order], [groups[n] for n in order], strata[order], config)
    for part in ("train", "validation", "test"):
        assert {ids[n] for n in getattr(one, part)} == {ids[order[n]] for n in getattr(other, part)}


def test_without_groups_folds_are_those_of_patients() -> None:
    ids, strata = [f"P{n}" for n in range(30)], np.arange(30) % 3
    config = SplitConfig(folds=5, fold=2, seed=4)
    one, other = split_groups(ids, [None] * 30, strata, config), split_patients(ids, strata, config)
    assert all((getattr(one, part) == getattr(other, part)).all() for part in ("train", "validation", "test"))


def volumes(**parts: dict[str, str]) -> Any:
    """Nine volumes of four slices, three of each vendor."""
    ids = tuple(f"{volume}-{n}" for volume in "ABCDEFGHI" for n in range(4))
    return SimpleNamespace(
        name="toy",
        patient_ids=ids,
        groups=[name[0] for name in ids],
        targets={},
        labels={},
        labelled={},
        centers=["XYZ"["ABCDEFGHI".index(name[0]) % 3] for name in ids],
        splits=parts,
    )


def ids_of(prepared: Any, found: Split) -> list[set[str]]:
    return [{prepared.patient_ids[row] for row in part} for part in (found.train, found.validation, found.test)]


def test_vendors_are_balanced_where_nothing_else_is_known() -> None:
    prepared = volumes()
    for fold in range(3):
        test = split(prepared, SplitConfig(folds=3, fold=fold)).test
        assert len(test) == 12
        assert {prepared.centers[row] for row in test} == {"X", "Y", "Z"}


def test_fixed_parts_are_followed_and_the_rest_is_left_out() -> None:
    part = {"A": "train", "B": "train", "C": "validation", "D": "test"}
    prepared = volumes(official={f"{volume}-{n}": name for volume, name in part.items() for n in range(4)})
    train, validation, test = ids_of(prepared, split(prepared, SplitConfig(scheme="official")))
    assert {name[0] for name in train} == {"A", "B"}
    assert {name[0] for name in validation} == {"C"}
    assert {name[0] for name in test} == {"D"}


def test_a_validation_part_is_cut_from_training_groups() -> None:
    parts = {name: "test" if name[0] in "GHI" else "train" for name in volumes().patient_ids}
    prepared = volumes(paper=parts)
    config = SplitConfig(scheme="paper", validation_fraction=0.34)
    train, validation, test = ids_of(prepared, split(prepared, config))
    assert {name[0] for name in test} == {"G", "H", "I"}
    assert len({name[0] for name in validation}) == 2
    assert not {name[0] for name in validation} & {name[0] for name in train}
    assert len(train) + len(validation) == 24


def test_faults_are_named() -> None:
    prepared = volumes(official={"A-0": "train", "A-1": "train"})
    with pytest.raises(ValueError, match=r"'paper'.*comes with the splits: official"):
        split(prepared, SplitConfig(scheme="paper"))
    with pytest.raises(ValueError, match="has no test samples here"):
        split(prepared, SplitConfig(scheme="official"))
    with pytest.raises(ValueError, match="another fold would test the same samples"):
        SplitConfig(scheme="official", fold=1)
    assert SplitConfig(scheme="paper").rounds == range(1)
    assert SplitConfig(folds=4).rounds == range(4)


def test_a_share_of_the_training_samples_is_part_of_a_larger_one() -> None:
    prepared = volumes()
    whole = split(prepared, SplitConfig(folds=3))
    seen: set[int] = set()
    for share in (0.25, 0.5, 1.0):
        parts = split(prepared, SplitConfig(folds=3, training_fraction=share))
        assert len(parts.train) == round(share * len(whole.train))
        assert seen <= set(parts.train.tolist()) <= set(whole.train.tolist())
        assert (np.diff(parts.train) > 0).all()
        assert (parts.validation == whole.validation).all()
        assert (parts.test == whole.test).all()
        seen = set(parts.train.tolist())
    with pytest.raises(ValueError, match=r"split.training_fraction is 0.0: must lie in \(0, 1\]"):
        SplitConfig(training_fraction=0)


def test_each_centre_is_tested_once_by_what_was_learnt_elsewhere() -> None:
    prepared = volumes()
    prepared.centers[0:4] = [None] * 4  # volume A, of vendor X
    for fold, name in enumerate("XYZ"):
        found = split(prepared, SplitConfig(scheme="centres", folds=3, fold=fold))
        assert {prepared.centers[row] for row in found.test} == {name}
        assert len(found.test) == 4 * (2 if name == "X" else 3)
        assert sorted(np.concatenate([found.train, found.validation, found.test]).tolist()) == [*range(36)]
        volumes_of = [{name.split("-")[0] for name in part} for part in ids_of(prepared, found)]
        assert not volumes_of[0] & volumes_of[1]
    with pytest.raises(ValueError, match="names the 3 centres X, Y, Z; set split"):
        split(prepared, SplitConfig(scheme="centres", folds=5))
    prepared.centers = [None] * 36
    with pytest.raises(ValueError, match="names no centres; use split"):
        split(prepared, SplitConfig(scheme="centres", folds=3))


def test_a_group_of_two_centres_is_not_learnt_from_where_one_is_tested() -> None:
    prepared = volumes()
    prepared.centers[1] = "Y"  # one slice of volume A, else of vendor X
    found = split(prepared, SplitConfig(scheme="centres", folds=3, fold=1))
    assert 1 in found.test
    assert not {0, 2, 3} & {*found.train.tolist(), *found.validation.tolist(), *found.test.tolist()}
