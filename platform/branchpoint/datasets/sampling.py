"""Which samples make up each training step: resampled so that every global batch has events.

Every worker computes the same list of global batches and takes its rows of each.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from branchpoint.config import TrainingConfig
from branchpoint.datasets.prepared import PreparedCohort

_EVENTS, _OTHERS, _ORDER = range(3)
TRIES = 8
"""Batches that are asked for a sample with a label before a batch goes without."""


class EventBalancedSampler:
    """Global batches of one epoch: as many draws as there are training samples, whatever the share of events.

    - With events and an ``event_fraction``, that share of the draws are events: each patient with an event comes up
      equally often (give or take one) over any stretch of epochs, and so does each other patient.
    - Events are spread evenly: every batch of two or more has at least one, even if that takes repeating events.
    - Samples are exchanged between batches, as long as an exchange helps, so that each has a comparable pair (one
      patient had the event while the other was known to be free of it) and nobody is in a batch twice.
    - Without survival labels or events every sample comes up once an epoch.
    - Labels that few samples have are spread over the batches by exchanges that undo none of this, so that as few
      steps as possible lack a task.

    Attributes:
        batch_sizes: size of each batch of an epoch; they differ by at most one.
    """

    def __init__(
        self,
        indices: np.ndarray | Sequence[int],
        *,
        batch_size: int,
        seed: int = 0,
        survival: np.ndarray | None = None,
        labelled: np.ndarray | None = None,
        event_fraction: float | None = None,
        labels: Sequence[np.ndarray] = (),
    ) -> None:
        """
        Args:
            indices: positions of the training samples in the cohort.
            batch_size: largest global batch.
            survival: (N, 2) time and event of the whole cohort; ``None`` without a survival task.
            labelled: bool (N,), which rows of ``survival`` hold.
            event_fraction: share of draws with an event; ``None`` keeps the natural share.
            labels: bool (N,) for each task, who has its label.
        """
        self._indices = np.asarray(indices, np.int64)
        if not len(self._indices):
            raise ValueError("there are no training samples to draw from: check the split and the labels")
        self._seed = seed
        count = len(self._indices)
        batches = -(-count // batch_size)
        self.batch_sizes = tuple(len(part) for part in np.array_split(np.arange(count), batches))
        self._time, self._event, self._known = _survival(self._indices, survival, labelled)
        self._pools = {_EVENTS: self._indices[self._event], _OTHERS: self._indices[~self._event]}
        self._position = {int(index): place for place, index in enumerate(self._indices)}
        self._event_draws = self._count_event_draws(event_fraction)
        self._pairs_exist = self._comparable(np.arange(count))
        rows = [np.asarray(known, bool) for known in labels]
        # Scarcest first: it has the least choice. What all or none have is nowhere missing.
        scarce = sorted(
            (known for known in rows if 0 < known[self._indices].sum() < count),
            key=lambda known: int(known[self._indices].sum()),
        )
        self._labels = np.stack(scarce) if scarce else np.zeros((0, 0), bool)

    @classmethod
    def of(
        cls,
        prepared: PreparedCohort,
        indices: np.ndarray,
        training: TrainingConfig,
        target: str | None,
        seed: int,
        labels: Sequence[np.ndarray] = (),
    ) -> EventBalancedSampler:
        """For a Config's budget; ``target`` is that of the survival task that is trained, if any."""
        survival = None if target is None else prepared.labels[target]
        labelled = None if target is None else prepared.labelled[target]
        return cls(
            indices,
            batch_size=training.batch_size,
            seed=seed,
            survival=survival,
            labelled=labelled,
            event_fraction=training.event_fraction,
            labels=labels,
        )

    def __len__(self) -> int:
        return len(self.batch_sizes)

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """Global batches of cohort positions, int64, the same for the same seed and epoch."""
        draws = {
            _EVENTS: self._draw(_EVENTS, epoch, self._event_draws),
            _OTHERS: self._draw(_OTHERS, epoch, len(self._indices) - self._event_draws),
        }
        batches, start, first = [], 0, 0
        for size, events in zip(self.batch_sizes, self._events_per_batch(), strict=True):
            others = draws[_OTHERS][start : start + size - events]
            batches.append([*draws[_EVENTS][first : first + events], *others])
            first, start = first + events, start + len(others)
        self._repair(batches)
        for number in range(len(self._labels)):
            self._spread(batches, number)
        generator = np.random.default_rng((self._seed, _ORDER, epoch))
        return [generator.permutation(np.array(batch, np.int64)) for batch in batches]

    def _count_event_draws(self, event_fraction: float | None) -> int:
        count, events = len(self._indices), len(self._pools[_EVENTS])
        if events in (0, count):
            return events
        wanted = events if event_fraction is None else round(event_fraction * count)
        if min(self.batch_sizes) < 2:
            return min(max(wanted, 1), count - 1)
        return min(max(wanted, len(self)), count - len(self))

    def _events_per_batch(self) -> list[int]:
        """One for each batch, if there are enough, and the rest by the room that is left."""
        sizes = np.array(self.batch_sizes)
        each = int(self._event_draws >= len(sizes))
        room = np.concatenate([[0], np.cumsum(sizes - each)])
        rest = room * (self._event_draws - each * len(sizes)) // max(int(room[-1]), 1)
        return (each + np.diff(rest)).tolist()

    def _draw(self, kind: int, epoch: int, count: int) -> np.ndarray:
        """The ``epoch``-th run of ``count`` from an endless row of permutations of the pool."""
        pool = self._pools[kind]
        if not count:
            return pool[:0]
        start, stop = epoch * count, (epoch + 1) * count
        rounds = range(start // len(pool), -(-stop // len(pool)))
        row = np.concatenate([np.random.default_rng((self._seed, kind, n)).permutation(pool) for n in rounds])
        return row[start - rounds[0] * len(pool) :][:count]

    def _repair(self, batches: list[list[int]]) -> None:
        """Exchange samples of one kind between batches while that removes a fault."""
        for number, batch in enumerate(batches):
            for other in batches[number + 1 :] + batches[:number]:
                if not self._faults(batch):
                    break
                self._exchange(batch, other)

    def _exchange(self, batch: list[int], other: list[int]) -> None:
        before = self._faults(batch) + self._faults(other)
        for mine, theirs in itertools.product(range(len(batch)), range(len(other))):
            if self._is_event(batch[mine]) != self._is_event(other[theirs]):
                continue
            batch[mine], other[theirs] = other[theirs], batch[mine]
            after = self._faults(batch) + self._faults(other)
            if after < before:
                before = after
            else:
                batch[mine], other[theirs] = other[theirs], batch[mine]
            if not self._faults(batch):
                return

    def _spread(self, batches: list[list[int]], number: int) -> None:
        """Give batches that lack label ``number`` a sample of batches that have several."""
        held = [int(self._labels[number, batch].sum()) for batch in batches]
        for poor in (place for place, count in enumerate(held) if not count):
            for rich in sorted((place for place, count in enumerate(held) if count > 1), key=lambda r: -held[r])[
                :TRIES
            ]:
                if self._give(batches[rich], batches[poor], number):
                    held[rich], held[poor] = held[rich] - 1, 1
                    break

    def _give(self, rich: list[int], poor: list[int], number: int) -> bool:
        """Exchange a sample with label ``number`` for one without, if nothing else is lost by it."""
        faults = self._faults(rich) + self._faults(poor)
        others = [self._labels[:, batch].any(1) for batch in (rich, poor)]
        for mine, theirs in itertools.product(range(len(rich)), range(len(poor))):
            known = self._labels[number, rich[mine]] and not self._labels[number, poor[theirs]]
            if not known or self._is_event(rich[mine]) != self._is_event(poor[theirs]):
                continue
            rich[mine], poor[theirs] = poor[theirs], rich[mine]
            kept = all(
                (now | ~before).all()
                for before, now in zip(others, (self._labels[:, batch].any(1) for batch in (rich, poor)), strict=True)
            )
            if kept and self._faults(rich) + self._faults(poor) <= faults:
                return True
            rich[mine], poor[theirs] = poor[theirs], rich[mine]
        return False

    def _faults(self, batch: list[int]) -> int:
        """Repeated samples beyond what the pools force, and one more if no pair is comparable but could be."""
        faults = 0
        for kind, pool in self._pools.items():
            members = [index for index in batch if self._is_event(index) == (kind == _EVENTS)]
            faults += min(len(members), len(pool)) - len(set(members))
        places = np.array([self._position[int(index)] for index in batch])
        return faults + int(self._pairs_exist and len(batch) > 1 and not self._comparable(places))

    def _is_event(self, index: int) -> bool:
        return bool(self._event[self._position[int(index)]])

    def _comparable(self, places: np.ndarray) -> bool:
        """Whether somebody was known to be free of the event when another had it."""
        time, event, known = self._time[places], self._event[places], self._known[places]
        if not event.any():
            return False
        first = time[event].min()
        return bool((known & ((time > first) | ((time == first) & ~event))).any())


def _survival(
    indices: np.ndarray, survival: np.ndarray | None, labelled: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time, event and whether both are known, each (len(indices),)."""
    if survival is None:
        return np.zeros(len(indices)), np.zeros(len(indices), bool), np.zeros(len(indices), bool)
    known = np.ones(len(indices), bool) if labelled is None else np.asarray(labelled, bool)[indices]
    return survival[indices, 0], known & (survival[indices, 1] > 0), known
