"""Where the runs to be executed come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from branchpoint.execution.run_spec import Outcome, RunSpec


class Runs(Protocol):
    """What is to be run."""

    @property
    def exhausted(self) -> bool:
        """No further run will come."""

    def next(self) -> RunSpec | None:
        """The next run, or ``None`` where there is none now."""

    def report(self, name: str, epoch: int, value: float) -> None:
        """Objective of a run after an epoch."""

    def tell(self, outcome: Outcome) -> None:
        """A run has ended, and the store knows."""


class ListedRuns:
    """The runs of a list, in its order."""

    def __init__(self, specs: Iterable[RunSpec]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._specs = list(specs)

    @property
    def exhausted(self) -> bool:
        return not self._specs

    def next(self) -> RunSpec | None:
        return self._specs.pop(0) if self._specs else None

    def report(self, name: str, epoch: int, value: float) -> None:
        """Nothing learns from it."""

    def tell(self, outcome: Outcome) -> None:
        self.outcomes[outcome.name] = outcome
