"""Processor time that a search itself takes, per trial, in the HECKTOR space.

    python benchmarks/long_search.py --trials 500 --concurrent 20 --every 50

Suggestions, their sampler (Optuna's TPE) and its journal are those of a search; each trial reports the value of a
made-up objective after every epoch and takes no time itself. The last column is the share of a trial of
``--trial-seconds`` seconds of processor time.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from branchpoint.config import DatasetConfig
from branchpoint.search.suggest.suggestions import Suggestion, Suggestions
from search_spaces import hecktor


def end(suggestions: Suggestions, suggestion: Suggestion, epochs: int) -> None:
    """A trial reports after each epoch and ends; its value depends on its Config alone."""
    quality = random.Random(suggestion.config.fingerprint).random()
    for epoch in range(1, epochs + 1):
        suggestions.report(suggestion.name, epoch, quality * (1 - 0.5**epoch))
    suggestions.tell(suggestion.name, "COMPLETE", quality)


def measure(trials: int, concurrent: int, epochs: int, every: int, trial_seconds: float) -> None:
    """One table; each row is about the trials since the row before."""
    base = hecktor.base(DatasetConfig(name="hecktor", root="/data", release="2021"))
    base = replace(base, training=replace(base.training, epochs=epochs))
    print(f"{trials} trials, {concurrent} at once, {epochs} epochs each")
    print(
        f"{'started':>8}{'processor ms/trial':>20}{'elapsed ms/trial':>18}{f'of {trial_seconds:g} s':>10}", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        suggestions = Suggestions(Path(folder, "journal.log"), "long", hecktor.space, base, trials=trials)
        running: deque[Suggestion] = deque()
        began = block = time.process_time(), time.perf_counter()
        while suggestion := suggestions.next():
            running.append(suggestion)
            if len(running) >= concurrent:
                end(suggestions, running.popleft(), epochs)
            if suggestions.started % every == 0 or suggestions.started == trials:
                count = (suggestions.started - 1) % every + 1
                row(f"{suggestions.started}", block, count, trial_seconds)
                block = time.process_time(), time.perf_counter()
        row("all", began, suggestions.started, trial_seconds)


def row(label: str, began: tuple[float, float], trials: int, trial_seconds: float) -> None:
    """Print the mean of ``trials`` trials since ``began`` (processor and elapsed seconds)."""
    processor = (time.process_time() - began[0]) / trials * 1000
    elapsed = (time.perf_counter() - began[1]) / trials * 1000
    share = processor / 1000 / trial_seconds
    print(f"{label:>8}{processor:>20.1f}{elapsed:>18.1f}{share:>10.2%}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--concurrent", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--every", type=int, default=50, help="Trials of a row.")
    parser.add_argument("--trial-seconds", type=float, default=15.0, help="Processor time of one trial, in seconds.")
    given = parser.parse_args()
    measure(given.trials, given.concurrent, given.epochs, given.every, given.trial_seconds)
