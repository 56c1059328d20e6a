"""The lines that a user reads while a study runs: one per run that ends, one per minute, tracebacks at the end."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TextIO

from branchpoint.execution.run_spec import Outcome

MINUTE = 60.0


class Progress:
    """Lines about the runs of one stage.

    Args:
        stage: ``trial`` or ``fold``: one run of it, in the summary.
        total: runs of the stage, as far as known.
        objective: name of the metric.
        titles: name of a run to the words that a line begins with; the name follows at the line's end.
        maximize: whether greater values are better.
        before: runs that ended in earlier starts of the job.
        stream: where to write.
        clock: seconds.
    """

    def __init__(
        self,
        stage: str,
        total: int,
        objective: str,
        *,
        titles: Mapping[str, str] | None = None,
        maximize: bool = True,
        before: list[Outcome] | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage, self.total, self.objective = stage, total, objective.replace("/", " ")
        self._titles = titles or {}
        self._sign = 1 if maximize else -1
        self._stream, self._clock = stream or sys.stdout, clock
        self._began = self._spoke = clock()
        self._states: Counter[str] = Counter()
        self._best: Outcome | None = None
        self._failures: list[Outcome] = []
        self._here = 0
        for outcome in before or []:
            self._count(outcome)
        if before:
            self.say(f"going on after {self._summary()}")

    def say(self, text: str) -> None:
        """One line with the time since the stage began."""
        minutes, seconds = divmod(int(self._clock() - self._began), 60)
        print(f"[{minutes:02d}:{seconds:02d}] {text}", file=self._stream, flush=True)
        self._spoke = self._clock()

    def ended(self, outcome: Outcome) -> None:
        """Write the line of a run that ended."""
        self._count(outcome)
        self._here += 1
        if outcome.state == "FAILED":
            self._failures.append(outcome)
        name = f" (run {outcome.name})" if outcome.name in self._titles else ""
        self.say(f"{self._title(outcome)}: {outcome.state.lower()}, {self._told(outcome)}{name}")

    def tick(self, running: int) -> None:
        """Write a line if none was written for a minute. Called often."""
        if self._clock() - self._spoke >= MINUTE:
            self.say(f"{self._summary()}; {running} running{self._remaining()}")

    def finish(self) -> None:
        """Write the summary, and after it the traceback of each kind of failure, where it is read last."""
        self.say(self._summary())
        shown: set[str] = set()
        for failure in self._failures:
            if failure.traceback and failure.reason not in shown:
                shown.add(failure.reason)
                print(f"\n{failure.traceback}", file=self._stream, flush=True)

    def _count(self, outcome: Outcome) -> None:
        self._states[outcome.state] += 1
        better = self._best is None or self._sign * outcome.value > self._sign * self._best.value
        if outcome.state == "COMPLETE" and math.isfinite(outcome.value) and better:
            self._best = outcome

    def _title(self, outcome: Outcome) -> str:
        return self._titles.get(outcome.name, f"{self.stage} {outcome.name}")

    def _told(self, outcome: Outcome) -> str:
        if outcome.state in ("FAILED", "INFEASIBLE"):
            return outcome.reason.splitlines()[0] if outcome.reason else "no reason given"
        error = (outcome.metrics or {}).get("estimate/error", math.nan)
        sure = f" (standard error {error:.2g})" if math.isfinite(error) else ""
        parts = [f"{self.objective} {outcome.value:.4f}{sure} in {outcome.epochs} epoch{'s' * (outcome.epochs != 1)}"]
        if self._best and self._best.name != outcome.name:
            parts.append(f"best {self._best.value:.4f} ({self._title(self._best)})")
        elif self._best:
            parts.append("the best so far")
        return ", ".join(parts)

    def _summary(self) -> str:
        started = sum(count for state, count in self._states.items() if state != "INFEASIBLE")
        states = ", ".join(f"{count} {state.lower()}" for state, count in sorted(self._states.items()))
        best = f"; best {self.objective} {self._best.value:.4f} ({self._title(self._best)})" if self._best else ""
        return f"{started} of {self.total} {self.stage}s ended ({states or 'none'}){best}"

    def _remaining(self) -> str:
        left = self.total - sum(count for state, count in self._states.items() if state != "INFEASIBLE")
        if not self._here or left <= 0:
            return ""
        minutes = (self._clock() - self._began) / self._here * left / 60
        return f"; about {max(1, round(minutes))} min left"
