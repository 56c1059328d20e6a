"""What a sampler that sees few trials of a long study loses against one that sees all, on made-up objectives.

    python benchmarks/long_search.py --trials 3000 --seeds 5 [--shown 100]

Each seed plants an optimum in a space with conditional parameters; values are noisy, 20 trials run at any time. Told
apart: Optuna's TPE over all trials, the search's own (which sees the best and the latest, and whose models serve
several suggestions in long studies), and random search. A value is the distance from the optimum without its noise.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from branchpoint.search.suggest import journal, suggestions
from branchpoint.search.suggest.sampler import OneLookTPE

STARTUP, RUNNING, NOISE = 10, 20, 0.05
KINDS = ("plain", "tree", "forest", "net")


def distance(trial: optuna.Trial, optimum: random.Random) -> float:
    """From the planted optimum: 0 there, about 1 at random."""
    wanted = [optimum.random() for _ in range(10)]
    found = [trial.suggest_float(f"x{i}", 0, 1) for i in range(5)]
    kind = KINDS.index(trial.suggest_categorical("kind", KINDS))
    found += [trial.suggest_float(f"{KINDS[kind]}{i}", 0, 1) for i in range(3)]
    miss = sum(abs(a - b) for a, b in zip(found, wanted, strict=False)) / 8
    return (
        miss + 0.1 * abs(kind - int(wanted[8] * 4)) + 0.1 * (trial.suggest_int("depth", 1, 8) != int(1 + wanted[9] * 8))
    )


def search(study: optuna.Study, sampler: Callable[[int], BaseSampler], trials: int, seed: int) -> list[float]:
    """Noiseless values in the order of suggestion."""
    noise, running, values = random.Random(seed), deque[tuple[optuna.Trial, float]](), []
    for number in range(trials):
        study.sampler = sampler(number)
        trial = study.ask()
        values.append(distance(trial, random.Random(seed)))
        running.append((trial, values[-1] + noise.gauss(0, NOISE)))
        if len(running) > RUNNING:
            study.tell(*running.popleft())
    return values


def all_trials(trials: int, seed: int) -> list[float]:
    def sampler(number: int) -> BaseSampler:
        return TPESampler(
            multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP, seed=seed * trials + number
        )

    return search(optuna.create_study(), sampler, trials, seed)


def few_trials(trials: int, seed: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        kept = journal.open_journal(Path(folder, "journal"))
        study = optuna.create_study(storage=kept)
        kept.forget(study._study_id, maximize=False)
        tpe = OneLookTPE(STARTUP)

        def sampler(number: int) -> BaseSampler:
            return tpe.seeded(seed * trials + number, suggestions.serve_most(kept.finished))

        return search(study, sampler, trials, seed)


def at_random(trials: int, seed: int) -> list[float]:
    return search(optuna.create_study(), lambda number: RandomSampler(seed=seed * trials + number), trials, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shown", type=int, default=journal.SHOWN, help="Finished trials that the search's own sees.")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    journal.SHOWN = suggestions.SHOWN = given.shown
    marks = sorted({mark for mark in (given.shown, given.trials // 2, given.trials) if mark <= given.trials})
    print(f"{given.seeds} seeds, {given.trials} trials, {RUNNING} at once; best so far, and mean of the 200 before")
    print(f"{'sampler':<22}" + "".join(f"{f'at {mark}':>24}" for mark in marks) + f"{'ms/suggestion':>15}")
    for label, run in {"TPE over all": all_trials, "TPE over few": few_trials, "random": at_random}.items():
        began = time.process_time()
        values = np.array([run(given.trials, seed) for seed in range(given.seeds)])
        each = (time.process_time() - began) / values.size * 1000
        cells = []
        for mark in marks:
            best, late = values[:, :mark].min(axis=1), values[:, max(0, mark - 200) : mark].mean(axis=1)
            cells.append(f"{best.mean():.3f} ± {best.std():.3f}, {late.mean():.3f}")
        print(f"{label:<22}" + "".join(f"{cell:>24}" for cell in cells) + f"{each:>15.1f}", flush=True)


if __name__ == "__main__":
    main()
