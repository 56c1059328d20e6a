"""Batches in which scarce labels are spread, with nothing else lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.datasets.sampling import EventBalancedSampler


def lacking(batches: list[np.ndarray], known: np.ndarray) -> int:
    return sum(not known[batch].any() for batch in batches)


@given(count=st.integers(6, 60), size=st.integers(2, 9), share=st.floats(0.02, 0.6), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_no_batch_lacks_a_label_that_another_has_to_spare(count: int, size: int, share: float, seed: int) -> None:
    known = np.random.default_rng(seed).random(count) < share
    sampler = EventBalancedSampler(np.arange(count), batch_size=size, seed=seed, labels=[known])
    for epoch in (1, 2):
        batches = sampler.epoch(epoch)
        assert sorted(np.concatenate(batches)) == list(range(count)), "every sample once, labelled or not"
        assert lacking(batches, known) == max(len(batches) - known.sum(), 0)


def test_events_and_pairs_stay_where_labels_are_spread() -> None:
    rng = np.random.default_rng(0)
    survival = np.stack([rng.uniform(1, 100, 60), (rng.random(60) < 0.25).astype(float)], 1)
    known = np.ones(60, bool)
    masks = rng.random(60) < 0.2
    grades = rng.random(60) < 0.25
    make = dict(batch_size=5, survival=survival, labelled=known, event_fraction=0.4)
    plain = EventBalancedSampler(np.arange(60), **make)
    spread = EventBalancedSampler(np.arange(60), **make, labels=[masks, grades, known])
    for epoch in range(1, 6):
        before, after = plain.epoch(epoch), spread.epoch(epoch)
        for batch in after:
            assert survival[batch, 1].any()
        assert [survival[batch, 1].sum() for batch in after] == [survival[batch, 1].sum() for batch in before]
        assert sorted(np.concatenate(after)) == sorted(np.concatenate(before))
        assert lacking(after, masks) <= lacking(before, masks)
        for label in (masks, grades):
            assert lacking(after, label) == max(len(after) - label[np.concatenate(after)].sum(), 0), "no fewer can be"


@pytest.mark.parametrize("known", [np.ones(20, bool), np.zeros(20, bool)])
def test_labels_of_all_or_none_change_nothing(known: np.ndarray) -> None:
    plain = EventBalancedSampler(np.arange(20), batch_size=4, seed=3)
    told = EventBalancedSampler(np.arange(20), batch_size=4, seed=3, labels=[known])
    assert all((a == b).all() for a, b in zip(plain.epoch(1), told.epoch(1), strict=True))
