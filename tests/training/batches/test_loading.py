"""Batches are loaded one ahead, in order, by another thread."""

import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from branchpoint.datasets.batch import Batch
from branchpoint.training.batches.loading import prefetch
from tests.training.spheres import MemoryCohort

CPU = torch.device("cpu")


def test_in_order_one_ahead_and_beside(cohort: MemoryCohort) -> None:
    batches = [np.array(rows) for rows in ([1, 2], [3], [0, 5])]
    threads, started = set(), [threading.Event() for _ in batches]

    def load(indices: np.ndarray) -> Batch:
        threads.add(threading.current_thread().name)
        started[len(cohort.loaded)].set()
        return cohort.batch(indices)

    for number, batch in enumerate(prefetch(load, batches, CPU)):
        assert batch.index.tolist() == batches[number].tolist()
        if number + 1 < len(batches):
            assert started[number + 1].wait(5), "the next batch loads while this one is in use"
        assert not any(event.is_set() for event in started[number + 2 :])
    assert all(name.startswith("load") for name in threads)


def test_errors_of_loading_reach_the_loop(cohort: MemoryCohort) -> None:
    def load(indices: np.ndarray) -> Batch:
        if 3 in indices:
            raise OSError("P003: file is gone")
        return cohort.batch(indices)

    loaded = prefetch(load, [np.array([1]), np.array([3])], CPU)
    next(loaded)
    with pytest.raises(OSError, match="P003"):
        next(loaded)


def test_leaving_early_ends_the_thread(cohort: MemoryCohort) -> None:
    before = threading.active_count()
    with closing(prefetch(cohort.batch, [np.array([i]) for i in range(20)], CPU)) as loaded:
        next(loaded)
    assert threading.active_count() == before
    assert len(cohort.loaded) <= 2
    assert list(prefetch(cohort.batch, [], CPU)) == []
