"""Sources of runs, and the error of a stage in which no run succeeded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # every command imports this module for its error: it must not bring the store
    from branchpoint.execution.run_spec import Outcome, RunSpec


class NoResultError(RuntimeError):
    """No run of a stage gave a result; the message holds the reasons."""


class Runs(Protocol):
    """The runs to be executed, in order."""

    @property
    def exhausted(self) -> bool:
        """Whether no further run will come."""

    def next(self) -> RunSpec | None:
        """The next run, or ``None`` if there is none at the moment."""

    def report(self, name: str, epoch: int, value: float) -> None:
        """Take note of the objective of a run after an epoch."""

    def tell(self, outcome: Outcome) -> None:
        """Take note that a run has ended; its outcome is in the store."""


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
