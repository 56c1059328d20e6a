"""Studies that are replayed on the table: a search on few validation pictures, and the choice that ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tabular.searchers import Searcher
from tabular.space import EPOCHS
from tabular.table import KEPT, Table

VALIDATION_SHARE = 0.16
"""Of a study's pictures, those that validate a fold: a fifth of what five folds leave for training."""
FINALISTS = 3


@dataclass(frozen=True)
class Trial:
    """A configuration that a search tried; ``spent``: epochs of all trials up to its end."""

    configuration: int
    value: float
    complete: bool
    spent: int


def validation_rows(table: Table, pictures: int, seed: int) -> list[np.ndarray]:
    """Of each fold, the pictures that validate it in a study of ``pictures``; seeds draw other pictures."""
    random, count = np.random.default_rng(seed), max(4, round(VALIDATION_SHARE * pictures))
    return [random.choice(table.held_out, min(count, table.held_out), replace=False) for _ in range(table.folds)]


def run_search(searcher: Searcher, table: Table, rows: np.ndarray, epochs: int) -> list[Trial]:
    """The trials of a search that may train ``epochs``, compared on the pictures ``rows`` of the first fold."""
    trials: list[Trial] = []
    spent = 0
    while spent < epochs and (number := searcher.ask()) is not None:
        before, value, stopped = spent, 0.0, False
        for epoch in KEPT:
            value, spent = table.score(number, 0, epoch, rows), before + epoch
            stopped = searcher.stops(epoch, value) and epoch < EPOCHS
            if stopped or (spent >= epochs and epoch < EPOCHS):
                break
        if not stopped and spent - before < EPOCHS:
            break  # the budget ends within this trial, which is lost
        searcher.tell(value, stopped)
        trials.append(Trial(number, value, not stopped, spent))
    return trials


def best_of_search(trials: Sequence[Trial]) -> int | None:
    """The complete trial with the best value, as libraries choose."""
    complete = [trial for trial in trials if trial.complete]
    return max(complete, key=lambda trial: trial.value).configuration if complete else None


def best_of_finals(trials: Sequence[Trial], table: Table, rows: Sequence[np.ndarray]) -> int | None:
    """The best few by the search's value, compared on all folds; the first fold's runs are those of the search."""
    values = {trial.configuration: trial.value for trial in trials if trial.complete}
    few = sorted(values, key=lambda number: -values[number])[:FINALISTS]

    def mean(number: int) -> float:
        return float(np.mean([table.score(number, fold, EPOCHS, rows[fold]) for fold in range(table.folds)]))

    return max(few, key=mean) if few else None


def cost_of_finals(folds: int) -> int:
    """Epochs that the finals take beside the search."""
    return FINALISTS * (folds - 1) * EPOCHS


def epochs_to_target(trials: Sequence[Trial], truth: np.ndarray, share: float = 0.99) -> float:
    """Epochs until a complete trial's true score was at least ``share`` of the best; infinite where none was."""
    good = [trial.spent for trial in trials if trial.complete and truth[trial.configuration] >= share * truth.max()]
    return min(good, default=float("inf"))
