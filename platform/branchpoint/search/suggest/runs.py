"""The trials of a search as runs."""

from __future__ import annotations

from branchpoint.execution.run_spec import Outcome, RunSpec
from branchpoint.search.suggest.suggestions import Suggestions


class SearchRuns:
    """The trials of a search."""

    def __init__(self, suggestions: Suggestions) -> None:
        self.suggestions = suggestions

    @property
    def exhausted(self) -> bool:
        return self.suggestions.exhausted

    def next(self) -> RunSpec | None:
        suggestion = self.suggestions.next()
        return RunSpec(suggestion.name, suggestion.config) if suggestion else None

    def report(self, name: str, epoch: int, value: float) -> None:
        self.suggestions.report(name, epoch, value)

    def tell(self, outcome: Outcome) -> None:
        self.suggestions.tell(outcome.name, outcome.state, outcome.value)
