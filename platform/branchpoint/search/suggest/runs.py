"""The trials of a search as runs."""

from __future__ import annotations

import math

from branchpoint.execution.run_spec import Outcome, RunSpec
from branchpoint.search.suggest.suggestions import Suggestions


class SearchRuns:
    """The trials of a search.

    Args:
        suggestions: what to try.
        epochs: no trial starts once all trials together were trained for so many; ``None``: no limit.
        spent: epochs of earlier starts of the job.
    """

    def __init__(self, suggestions: Suggestions, epochs: int | None = None, spent: int = 0) -> None:
        self.suggestions = suggestions
        self._left = math.inf if epochs is None else epochs - spent
        self._spend(0)

    @property
    def exhausted(self) -> bool:
        return self.suggestions.exhausted

    def next(self) -> RunSpec | None:
        suggestion = self.suggestions.next()
        return RunSpec(suggestion.name, suggestion.config) if suggestion else None

    def report(self, name: str, epoch: int, value: float) -> None:
        self._spend(1)
        self.suggestions.report(name, epoch, value)

    def tell(self, outcome: Outcome) -> None:
        self.suggestions.tell(outcome.name, outcome.state, outcome.value)

    def _spend(self, epochs: int) -> None:
        self._left -= epochs
        if self._left <= 0:
            self.suggestions.stop()
