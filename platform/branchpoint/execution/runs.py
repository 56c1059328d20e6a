"""Where the runs to be executed come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from branchpoint.execution.run_spec import Outcome, Work


class Runs(Protocol):
    """What is to be run."""

    @property
    def exhausted(self) -> bool:
        """No further run will come."""

    def next(self) -> Work | None:
        """The next run, or ``None`` where there is none now."""

    def report(self, name: str, epoch: int, value: float) -> None:
        """Objective of a run after an epoch."""

    def tell(self, outcome: Outcome) -> None:
        """A run has ended, and the store knows."""


class ListedRuns:
    """The runs of a list, in its order."""

    def __init__(self, works: Iterable[Work]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._works = list(works)

    @property
    def exhausted(self) -> bool:
        return not self._works

    def next(self) -> Work | None:
        return self._works.pop(0) if self._works else None

    def report(self, name: str, epoch: int, value: float) -> None:
        """Nothing learns from it."""

    def tell(self, outcome: Outcome) -> None:
        self.outcomes[outcome.name] = outcome
