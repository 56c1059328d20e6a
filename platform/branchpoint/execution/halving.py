"""Asynchronous successive halving as a rule that a trial asks about itself.

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (ASHA), algorithm 2, in the stopping form that
Ray Tune's ``ASHAScheduler`` uses too. The trial asks and returns, instead of being killed by a scheduler: it writes
its own honest state, frees its workers itself (trials with several workers included), and its process serves the next
trial. The rungs are filled again from the store after a restart, which Tune's scheduler would lose.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HalvingConfig:
    """When trials are compared, and how many go on.

    Attributes:
        grace: epochs of the first comparison; no trial stops before.
        reduction: each rung lies ``reduction`` times as far as the one before; the best 1/``reduction`` of the
            trials that reached it (rounded up) go on.
        least: a trial is not stopped before so many trials reached the rung.
    """

    grace: int = 4
    reduction: float = 3.0
    least: int = 3

    def __post_init__(self) -> None:
        if self.grace < 1 or self.reduction <= 1 or self.least < 1:
            raise ValueError(f"{self}: grace and least must be at least 1, reduction greater than 1")

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs, below ``epochs``, at which trials are compared."""
        rungs = []
        rung: float = self.grace
        while round(rung) < epochs:
            rungs.append(round(rung))
            rung *= self.reduction
        return tuple(rungs)


class Halving:
    """Says of a trial at an epoch whether it should stop, and why.

    NaN is worst.

    Args:
        config: the rule.
        epochs: budget of a trial.
        maximize: whether greater values are better.
        keep_best: a trial's value at a rung is its best so far, as its final value will be that of its best epoch; else
            it is the value at that epoch, as for trials that end with their last or averaged weights.
    """

    def __init__(self, config: HalvingConfig, epochs: int, maximize: bool = True, keep_best: bool = False) -> None:
        self.config, self.keep_best = config, keep_best
        self._sign = 1.0 if maximize else -1.0
        self._rungs: dict[int, _Rung] = {rung: _Rung() for rung in config.rungs(epochs)}
        self._best: dict[str, float] = {}

    def recall(self, values: Iterable[tuple[str, int, float]]) -> None:
        """Fill the rungs with what trials reported before, as (trial, epoch, value), epochs ascending per trial."""
        for trial, epoch, value in values:
            self._enter(trial, epoch, value)

    def stop_reason(self, trial: str, epoch: int, value: float) -> str | None:
        """Why ``trial``, with ``value`` after ``epoch``, should stop; ``None`` where it goes on.

        A trial that passed a rung is not compared there again, so a resumed trial goes on.
        """
        rung = self._rungs.get(epoch)
        compared = rung is not None and trial in rung.trials
        own = self._enter(trial, epoch, value)
        if rung is None or compared or len(rung.values) < max(2, self.config.least):
            return None
        better = len(rung.values) - bisect_right(rung.values, own)
        places = math.ceil(len(rung.values) / self.config.reduction)
        if better < places:
            return None
        return (
            f"stopped early after epoch {epoch}: its value {self._sign * own:.4g} is number {better + 1} of "
            f"{len(rung.values)} trials that came so far, and {places} go on"
        )

    def _enter(self, trial: str, epoch: int, value: float) -> float:
        reached = -math.inf if math.isnan(value) else self._sign * value
        if self.keep_best:
            reached = self._best[trial] = max(reached, self._best.get(trial, -math.inf))
        rung = self._rungs.get(epoch)
        if rung is not None and trial not in rung.trials:
            rung.trials.add(trial)
            insort(rung.values, reached)
        return reached


class _Rung:
    """Trials that reached a rung, and their values there, ascending, so that a trial's place is found quickly."""

    def __init__(self) -> None:
        self.trials: set[str] = set()
        self.values: list[float] = []
