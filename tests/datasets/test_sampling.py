"""Global batches: enough events, comparable patients, everyone in turn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.datasets.sampling import EventBalancedSampler


def survival(count: int, events: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    happened = np.zeros(count)
    happened[generator.permutation(count)[:events]] = 1
    return np.stack([generator.integers(100, 2000, count), happened], axis=1)


def comparable(batch: np.ndarray, labels: np.ndarray) -> bool:
    """Some pair in which one had the event while the other was known to be free of it."""
    return any(
        labels[i, 1] and (labels[j, 0] > labels[i, 0] or (labels[j, 0] == labels[i, 0] and not labels[j, 1]))
        for i in batch
        for j in batch
        if i != j
    )


def test_half_of_the_draws_are_events() -> None:
    labels = survival(150, 27)
    sampler = EventBalancedSampler(range(150), batch_size=10, survival=labels, event_fraction=0.5)
    for epoch in range(3):
        batches = sampler.epoch(epoch)
        assert [len(batch) for batch in batches] == [10] * 15
        assert [int(labels[batch, 1].sum()) for batch in batches] == [5] * 15
        assert all(len(set(batch.tolist())) == 10 for batch in batches)
        assert all(comparable(batch, labels) for batch in batches)


def test_everyone_comes_up_equally_often() -> None:
    labels = survival(100, 18)
    sampler = EventBalancedSampler(range(100), batch_size=8, survival=labels, event_fraction=0.5)
    counts = Counter(int(index) for epoch in range(20) for batch in sampler.epoch(epoch) for index in batch)
    for kind in (0, 1):
        of_kind = [counts[index] for index in np.flatnonzero(labels[:, 1] == kind)]
        assert max(of_kind) - min(of_kind) <= 1
    assert sum(counts[index] for index in np.flatnonzero(labels[:, 1])) == 1000


def test_natural_share_is_one_pass() -> None:
    labels = survival(53, 20)
    sampler = EventBalancedSampler(range(53), batch_size=10, survival=labels, event_fraction=None)
    for epoch in (0, 7):
        drawn = np.concatenate(sampler.epoch(epoch))
        assert sorted(drawn.tolist()) == list(range(53))
    assert sampler.batch_sizes == (9, 9, 9, 9, 9, 8)
    assert all(labels[batch, 1].any() for batch in sampler.epoch(0))


def test_without_survival_it_is_one_shuffled_pass() -> None:
    indices = np.array([3, 5, 8, 13, 21, 34, 55])
    sampler = EventBalancedSampler(indices, batch_size=3, event_fraction=0.5)
    first, second = sampler.epoch(0), sampler.epoch(1)
    assert sorted(np.concatenate(first).tolist()) == indices.tolist()
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist()
    assert len(sampler) == 3


@given(
    count=st.integers(4, 60),
    share=st.floats(0.02, 0.98),
    batch_size=st.integers(2, 12),
    fraction=st.sampled_from([None, 0.1, 0.5, 0.9]),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 5),
)
@settings(max_examples=150, deadline=None)
def test_every_batch_has_an_event(
    count: int, share: float, batch_size: int, fraction: float | None, seed: int, epoch: int
) -> None:
    events = max(1, round(share * count))
    labels = survival(count, events, seed)
    settings = {"batch_size": batch_size, "seed": seed, "survival": labels, "event_fraction": fraction}
    sampler = EventBalancedSampler(range(count), **settings)
    batches = sampler.epoch(epoch)
    assert sum(map(len, batches)) == count
    assert tuple(map(len, batches)) == sampler.batch_sizes
    assert max(sampler.batch_sizes) <= batch_size
    assert max(sampler.batch_sizes) - min(sampler.batch_sizes) <= 1
    if min(sampler.batch_sizes) >= 2:
        assert all(labels[batch, 1].any() for batch in batches)
    repeated = EventBalancedSampler(range(count), **settings)
    assert all((a == b).all() for a, b in zip(batches, repeated.epoch(epoch), strict=True))


def most_comparable(labels: np.ndarray) -> int:
    """How many events can each be given a later patient of its own: the latest event has the fewest to choose from."""
    later, matched = sorted(labels[labels[:, 1] == 0, 0], reverse=True), 0
    for time in sorted(labels[labels[:, 1] == 1, 0], reverse=True):
        matched += matched < len(later) and later[matched] >= time
    return matched


@pytest.mark.parametrize("seed", range(5))
def test_batches_get_comparable_pairs_by_exchange(seed: int) -> None:
    """One event and three others in each: at random, a quarter of the batches would tell the Cox loss nothing."""
    labels = survival(80, 20, seed)
    sampler = EventBalancedSampler(range(80), batch_size=4, survival=labels, event_fraction=0.25)
    for epoch in range(5):
        assert sum(comparable(batch, labels) for batch in sampler.epoch(epoch)) >= most_comparable(labels) - 1
    sampler._repair = lambda batches: None  # type: ignore[method-assign]
    unrepaired = [comparable(batch, labels) for epoch in range(20) for batch in sampler.epoch(epoch)]
    assert np.mean(unrepaired) < 0.85


def test_patients_without_a_survival_label_count_as_others() -> None:
    labels = survival(40, 40)
    labels[:, 0] = 500 + np.arange(40)
    known = np.arange(40) < 10
    labels[~known] = 0
    sampler = EventBalancedSampler(range(40), batch_size=8, survival=labels, labelled=known, event_fraction=0.5)
    for batch in sampler.epoch(2):
        assert known[batch].sum() == 4
        assert comparable(batch[known[batch]], labels)


def test_few_events_are_repeated() -> None:
    labels = survival(40, 2)
    sampler = EventBalancedSampler(range(40), batch_size=8, survival=labels, event_fraction=0.5)
    for batch in sampler.epoch(0):
        assert set(np.flatnonzero(labels[:, 1])) <= set(batch.tolist())
        assert labels[batch, 1].sum() == 4


def test_nothing_to_draw_from() -> None:
    with pytest.raises(ValueError, match="no training samples"):
        EventBalancedSampler([], batch_size=4)
