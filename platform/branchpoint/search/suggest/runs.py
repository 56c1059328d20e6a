"""The trials of a search as runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from branchpoint.execution.run_spec import Outcome, RunSpec
from branchpoint.search.budget import Spent
from branchpoint.search.suggest.suggestions import Suggestions


@dataclass(frozen=True, kw_only=True)
class TimeLimit:
    """When a search must end so that the study keeps its time.

    Attributes:
        seconds: for the whole study.
        trial_epochs: of a trial that is not stopped early.
        later_epochs: of finals and references, which follow.
        concurrency: runs at once.
        least: trials that are completed in any case.
    """

    seconds: float
    trial_epochs: int
    later_epochs: int
    concurrency: int
    least: int = 1


@dataclass(frozen=True)
class _Training:
    """How long runs take: ``seconds`` that passed between the reports of ``epochs`` epochs, and the shortest ``start``.

    The first trial of a worker imports torch, which no later one does: only the shortest start counts.
    """

    seconds: float = 0.0
    epochs: int = 0
    start: float = math.inf

    @property
    def per_epoch(self) -> float:
        return self.seconds / self.epochs if self.epochs else 0.0

    def with_run(self, seconds: float, reports: Sequence[float]) -> _Training:
        """One more run, which took ``seconds`` in all and reported its epochs at ``reports``."""
        if len(reports) < 2:
            return self
        between, count = reports[-1] - reports[0], len(reports) - 1
        start = max(0.0, seconds - between * len(reports) / count)
        return _Training(self.seconds + between, self.epochs + count, min(self.start, start))


class SearchRuns:
    """The trials of a search.

    Args:
        suggestions: what to try.
        epochs: no trial starts once all trials together were trained for so many; ``None``: no limit.
        spent: in earlier starts of the job.
        limit: of time; ``None``: none.
        clock: gives seconds.
    """

    def __init__(
        self,
        suggestions: Suggestions,
        epochs: int | None = None,
        spent: Spent | None = None,
        limit: TimeLimit | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.suggestions, self._limit, self._clock = suggestions, limit, clock
        spent = spent or Spent()
        self._left = math.inf if epochs is None else epochs - spent.epochs
        self._before, self._opened, self._complete = spent.seconds, clock(), spent.complete
        self._begun: dict[str, float] = {}
        self._reports: dict[str, list[float]] = {}
        self._training = _Training(spent.training_seconds, spent.epochs)
        self._spend(0)

    @property
    def exhausted(self) -> bool:
        return self.suggestions.exhausted or (not self._begun and not self._may_start())

    def next(self) -> RunSpec | None:
        suggestion = self.suggestions.next() if self._may_start() else None
        if suggestion is None:
            return None
        self._begun[suggestion.name], self._reports[suggestion.name] = self._clock(), []
        return RunSpec(suggestion.name, suggestion.config)

    def report(self, name: str, epoch: int, value: float) -> None:
        self._spend(1)
        self._reports.setdefault(name, []).append(self._clock())
        self.suggestions.report(name, epoch, value)

    def tell(self, outcome: Outcome) -> None:
        now, reports = self._clock(), self._reports.pop(outcome.name, [])
        begun = self._begun.pop(outcome.name, now)
        self._training = self._training.with_run(now - begun, reports)
        self._complete += outcome.state == "COMPLETE"
        self.suggestions.tell(outcome.name, outcome.state, outcome.value)

    def seconds_for(self, epochs: int) -> float:
        """What runs of so many epochs together take, by the trials so far; 0 before one was trained for two epochs."""
        if self._limit is None:
            return 0.0
        known = self._training
        for name, reports in self._reports.items():
            known = known.with_run(math.inf, reports) if name in self._begun else known
        runs = epochs / self._limit.trial_epochs
        return epochs * known.per_epoch + runs * (known.start if math.isfinite(known.start) else 0.0)

    def _used(self, concurrency: int) -> float:
        """Seconds of all runs at once: what passes between them counts, too."""
        return self._before + (self._clock() - self._opened) * concurrency

    def _may_start(self) -> bool:
        """Whether an interrupted trial waits, or a further one, those that run and what follows fit into the time."""
        if self._limit is None or self.suggestions.interrupted or self._complete + len(self._begun) < self._limit.least:
            return True
        to_come = sum(max(0, self._limit.trial_epochs - len(reports)) for reports in self._reports.values())
        needed = self._used(self._limit.concurrency) + self.seconds_for(
            to_come + self._limit.trial_epochs + self._limit.later_epochs
        )
        return needed <= self._limit.seconds * self._limit.concurrency

    def _spend(self, epochs: int) -> None:
        self._left -= epochs
        if self._left <= 0:
            self.suggestions.stop()
