"""Searches replayed on a table of really trained networks: the platform's against random search, Optuna and Ray Tune.

    python benchmarks/tabular_search.py                      # replay on the table of the repository, some minutes
    python benchmarks/tabular_search.py --train build/tabular --table build/table.parquet      # make it anew, hours

The table (``benchmarks/tabular/``) holds every configuration of a finite space (which of three tasks share which
stages, learning rate, augmentation, balancing) on three training sets, and what each network predicts for 200
held-out pictures after 1, 2, 3, 4, 6, 9 and 12 epochs. A replayed study sees a few of these pictures; the truth is the
score on all of them. ``to target``: epochs until a network was trained to its end whose true score is within 1 % of the
best. ``regret``: true score of the best configuration minus that of the one that is chosen at the end of the budget: by
the best value of the search for libraries and ablations, and for ``branchpoint`` by finals of the best three on all
folds, which are paid from the same budget. Means over seeds with standard errors; the same seeds for all.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabular.replay import (
    best_of_finals,
    best_of_search,
    cost_of_finals,
    epochs_to_target,
    run_search,
    validation_rows,
)
from tabular.searchers import Make, searchers
from tabular.space import base, configurations
from tabular.table import Table, write_table

from branchpoint.config import Config

TABLE = Path(__file__).parent / "tabular" / "lesions.parquet"
FIRST = {
    "malignant_of3": 3,
    "relapse_of3": 3,
    "balancing": "sum",
    "learning_rate": 4e-3,
    "augmentation": False,
}
"""Everything shared, with the base's settings: where a study begins."""


PLATFORM = "branchpoint"
Ends = tuple[float, float]


@dataclass(frozen=True)
class StudySize:
    """Pictures and epochs of a replayed study; ``numbers``: candidate to number in the table."""

    pictures: int
    epochs: int
    base: Config
    numbers: Mapping[str, int]


def train(folder: Path, processes: int, out: Path) -> None:
    """Train what is missing in ``folder`` and write the table."""
    from tabular.train import prepare, train_all

    folder.mkdir(parents=True, exist_ok=True)
    train_all(folder, processes)
    common, prepared = prepare(folder)
    time, event = np.moveaxis(prepared.labels["relapse"], -1, 0)
    labels = {"malignant": prepared.labels["malignant"], "time_days": time, "event": event}
    count = write_table(folder / "runs", [values for values, _ in configurations(common)], labels, out)
    print(f"{count} configurations in {out}, {out.stat().st_size / 1e6:.1f} MB")


def replay_one(table: Table, truth: np.ndarray, study: StudySize, name: str, make: Make, seed: int) -> Ends:
    """Epochs to the target and regret of one study."""
    rows = validation_rows(table, study.pictures, seed)
    finals = name == PLATFORM
    epochs = study.epochs - cost_of_finals(table.folds) * finals
    trials = run_search(make(study.base, study.numbers, study.epochs, seed), table, rows[0], epochs)
    chosen = best_of_finals(trials, table, rows) if finals else best_of_search(trials)
    regret = truth.max() - (truth[chosen] if chosen is not None else truth.min())
    return epochs_to_target(trials, truth), float(regret)


def replay(table: Table, seeds: int, pictures: Sequence[int], budgets: Sequence[int], only: str) -> None:
    """Print one table for each size of a study."""
    truth, common = table.truth(), base(Path("lesions"))
    numbers = {config.candidate: number for number, (_, config) in enumerate(configurations(common))}
    spread = np.quantile(truth, [0, 0.5, 0.9, 1])
    print(f"{len(truth)} configurations; true score: worst, median, best tenth, best: {np.round(spread, 3)}")
    print(f"{(truth >= 0.99 * truth.max()).sum()} within 1 % of the best; {seeds} seeds")
    for study in (StudySize(count, budget, common, numbers) for count in pictures for budget in budgets):
        print(f"\n{study.pictures} pictures, {study.epochs} epochs")
        print(f"{'search':<28}{'to target, median':>18}{'reached':>9}{'regret':>9}{'error':>8}")
        for name, make in searchers(FIRST).items():
            if only in name:
                ends = [replay_one(table, truth, study, name, make, seed) for seed in range(seeds)]
                needed, regret = np.array(ends).T
                error = regret.std(ddof=1) / np.sqrt(seeds)
                print(
                    f"{name:<28}{np.median(needed):>18.0f}{np.isfinite(needed).mean():>9.0%}{regret.mean():>9.4f}"
                    f"{error:>8.4f}",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, help="Folder of a training; without it, studies are replayed.")
    parser.add_argument("--processes", type=int, default=2, help="Of the training.")
    parser.add_argument("--table", type=Path, default=TABLE, help="The table to replay, or to write.")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--pictures", type=int, nargs="+", default=[30, 60, 200])
    parser.add_argument("--budgets", type=int, nargs="+", default=[150, 300, 600], help="In epochs.")
    parser.add_argument("--only", default="", help="Searches whose name holds this.")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.train:
        train(given.train, given.processes, given.table)
    else:
        replay(Table.read(given.table), given.seeds, given.pictures, given.budgets, given.only)


if __name__ == "__main__":
    main()
