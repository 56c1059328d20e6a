"""Whether racing candidates over folds finds better networks than finals of the best few, at equal cost.

    python benchmarks/racing.py [--table build/racing] [--configurations 12] [--patients 100] [--studies 60]

Networks are trained once: configurations of the HECKTOR space on a phantom, on every fold, with predictions for each
fold's held-out patients after 2, 6 and 18 epochs. Studies of 30, 60 and 200 patients are then replayed on subsets of
these patients, candidates in random order, by several rules:

- ``finals``: halving on the first fold, then the best three on all five folds, as a study does it.
- ``reuse``: the same, but runs of the first fold are not trained again, which pays for a fourth finalist.
- ``race``: fold by fold, those leave that are worse than the leader by more than two standard errors of the paired
  difference, and at most as many stay as the budget allows. The labels of test patients take part in it.
- ``clean race``: the same, once for each fold without the patients that it tests, so that test figures stay clean; what
  any of these races wants is trained.

Regret is against the best configuration on all held-out patients.
"""

from __future__ import annotations

import argparse
import math
import pickle
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

FOLDS, EPOCHS, RUNGS, RESAMPLES = 5, 18, (6,), 100
KEPT = (2, 6, 18)
Block = tuple[int, int, int]
"""Configuration, fold, epoch."""


def configurations(root: Path, count: int) -> list[Any]:
    """The starting points of the space, and configurations that are drawn at random; small networks only."""
    import optuna

    from branchpoint.config import DatasetConfig, SplitConfig
    from branchpoint.networks import estimate
    from branchpoint.search.space.parts import candidates_learn
    from search_spaces import hecktor

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    dataset = DatasetConfig(name="hecktor", root=str(root), release="2021", spacing_mm=9.0, size_voxels=(16, 16, 16))
    base = hecktor.base(dataset)
    base = replace(
        base,
        network=replace(base.network, width=4),
        training=replace(base.training, epochs=EPOCHS, batch_size=8),
        split=SplitConfig(folds=FOLDS, seed=3, validation_fraction=0.05, training_fraction=0.2),
        optimizer=replace(base.optimizer, learning_rate=3e-3),
    )
    fixed = candidates_learn(base.tasks)
    sampler = optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(seed=5))
    study = optuna.create_study(sampler=sampler)
    found: dict[str, Any] = {}
    for point in hecktor.starting_points(base):
        if fixed.items() <= point.items():
            study.enqueue_trial(point)
    while len(found) < count:
        try:
            config = hecktor.space(study.ask(), base)
            small = estimate(config).macs <= 6e7
        except ValueError:
            continue
        if small:
            found.setdefault(config.candidate, config)
    return list(found.values())


def train_table(folder: Path, count: int, patients: int) -> None:
    """Write ``rows.pkl``: (configuration, seed, fold, epoch, summaries by task) of every run."""
    import torch

    from branchpoint.datasets.pipeline import checked_cohort
    from branchpoint.evaluation.evaluation import evaluate
    from branchpoint.phantoms import make_phantom
    from branchpoint.training.devices.randomness import TRAINING, derived_seed
    from branchpoint.training.epoch import train_epoch
    from branchpoint.training.run import build_run

    settings = {"patients": patients, "seed": 11, "censoring": 0.5, "spacing_scale": 3.0, "progress": False}
    configs = configurations(make_phantom("hecktor", folder / "phantom", release="2021", **settings), count)
    prepared, _ = checked_cohort(configs[0].dataset, folder / "cache", folds=FOLDS, without_faulty=True)
    rows = []
    for number, fold in ((number, fold) for number in range(count) for fold in range(FOLDS)):
        config = replace(configs[number], split=replace(configs[number].split, fold=fold))
        run = build_run(config, prepared, torch.device("cpu"))
        for epoch in range(1, EPOCHS + 1):
            torch.manual_seed(derived_seed(config.seed, TRAINING, epoch))
            train_epoch(run, epoch)
            if epoch in KEPT:
                found = evaluate(run.average.network, config, prepared, run.folds.test, "cpu", 50, native=False)
                rows.append((number, 0, fold, epoch, found))
    (folder / "rows.pkl").write_bytes(pickle.dumps(rows))


@dataclass(frozen=True)
class Predictions:
    """Of one network: Dice (N,), where it is defined, and (N, N) concordant and comparable pairs."""

    dice: np.ndarray
    defined: np.ndarray
    concordant: np.ndarray
    comparable: np.ndarray


def predictions(summaries: Any) -> Predictions:
    mask, outcome = summaries["tumour"], summaries["survival"]
    size = (mask["predicted"] + mask["truth"])[:, 0]
    dice = 2 * mask["overlap"][:, 0] / np.maximum(size, 1)
    risk, time, event = outcome["log_hazard"], outcome["time_days"], outcome["event"] & outcome["labelled"]
    later = (time[:, None] < time[None]) | ((time[:, None] == time[None]) & ~event[None])
    comparable = event[:, None] & later & ~np.eye(len(time), dtype=bool)
    higher = np.where(risk[:, None] > risk[None], 1.0, np.where(risk[:, None] == risk[None], 0.5, 0.0))
    return Predictions(dice, (size > 0) & mask["labelled"], higher * comparable, comparable.astype(float))


Table = dict[Block, Predictions]


class Patients:
    """Validation patients of a study, as one decision sees them.

    Args:
        table: predictions by configuration, fold and epoch.
        rows: of each fold, positions among its held-out patients.
        draws: of each fold, (R, n) how often each resample holds each patient.
    """

    def __init__(self, table: Table, rows: Sequence[np.ndarray], draws: Sequence[np.ndarray]) -> None:
        self.table, self.rows, self.draws = table, rows, draws

    def score(self, config: int, folds: Sequence[int], epoch: int = EPOCHS, resampled: bool = False) -> np.ndarray:
        """(1,) or (R,) mean over tasks of the chance-corrected metric, pooled over ``folds``."""
        sums = np.zeros((4, RESAMPLES if resampled else 1))
        for fold in folds:
            seen, rows = self.table[config, fold, epoch], self.rows[fold]
            weights = self.draws[fold] if resampled else np.ones((1, len(rows)))
            pairs = np.ix_(rows, rows)
            sums[0] += weights @ (seen.dice * seen.defined)[rows]
            sums[1] += weights @ seen.defined[rows].astype(float)
            sums[2] += ((weights @ seen.concordant[pairs]) * weights).sum(1)
            sums[3] += ((weights @ seen.comparable[pairs]) * weights).sum(1)
        dice = np.where(sums[1] > 0, sums[0] / np.maximum(sums[1], 1e-9), 0.0)
        c_index = np.where(sums[3] > 0, sums[2] / np.maximum(sums[3], 1e-9), 0.5)
        return 0.5 * dice + np.maximum(c_index - 0.5, 0.0)

    def value(self, config: int, folds: Sequence[int], epoch: int = EPOCHS) -> float:
        return float(self.score(config, folds, epoch)[0])

    def worse(self, config: int, leader: int, folds: Sequence[int], errors: float) -> bool:
        """Whether ``config`` is worse than ``leader`` by more than ``errors`` standard errors, paired."""
        count = sum(len(self.rows[fold]) for fold in folds)
        drawn = self.score(leader, folds, resampled=True) - self.score(config, folds, resampled=True)
        error = float(np.std(drawn)) * math.sqrt(count / max(count - 1, 1))
        return self.value(leader, folds) - self.value(config, folds) > errors * error


def halving(patients: Patients, order: Sequence[int]) -> tuple[list[int], int]:
    """Candidates that were trained to the end on the first fold, best first, and the epochs that all took."""
    seen: dict[int, list[float]] = {rung: [] for rung in RUNGS}
    done, cost = [], 0
    for config in order:
        for rung, values in seen.items():
            values.append(patients.value(config, [0], rung))
            better = sum(value > values[-1] for value in values)
            if len(values) >= 3 and better >= math.ceil(len(values) / 3):
                cost += rung
                break
        else:
            cost += EPOCHS
            done.append(config)
    return sorted(done, key=lambda config: -patients.value(config, [0])), cost


def race(views: Sequence[Patients], done: Sequence[int], runs: int, errors: float = 2.0) -> tuple[int, int]:
    """The winner in the first of ``views``, and the runs that all of them wanted; each may want ``runs``."""
    alive = [sorted(done, key=lambda config: -view.value(config, [0])) for view in views]
    spent, trained = [0] * len(views), 0
    for fold in range(1, FOLDS):
        left, before = FOLDS - fold, range(fold)
        for number, view in enumerate(views):
            most = max(1, int((runs - spent[number]) * 2 / (left + 1)))
            leader = alive[number][0]
            close = [each for each in alive[number] if each == leader or not view.worse(each, leader, before, errors)]
            alive[number] = close[:most]
            spent[number] += len(alive[number])
        trained += len({config for kept in alive for config in kept})
        for number, view in enumerate(views):
            alive[number].sort(key=lambda config: -view.value(config, range(fold + 1)))
    return alive[0][0], trained


def study(table: Table, configs: np.ndarray, patients: int, trials: int, seed: int) -> dict[str, tuple[int, int]]:
    """Rule to the configuration that it chose and the epochs it took, in one study."""
    random = np.random.default_rng(seed)
    held = len(next(iter(table.values())).dice)
    count = min(held, max(3, round(0.16 * patients)))
    rows = [random.choice(held, count, replace=False) for _ in range(FOLDS)]
    draws = [random.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float) for _ in range(FOLDS)]
    seen = Patients(table, rows, draws)
    done, cost = halving(seen, random.permutation(configs)[:trials].tolist())
    testers = [random.choice([other for other in range(FOLDS) if other != fold], count) for fold in range(FOLDS)]
    views = [seen]
    for fold in range(FOLDS):
        kept = [tester != fold for tester in testers]
        views.append(
            Patients(
                table,
                [r[k] for r, k in zip(rows, kept, strict=True)],
                [d[:, k] for d, k in zip(draws, kept, strict=True)],
            )
        )

    def best(few: Sequence[int]) -> int:
        return max(few, key=lambda config: seen.value(config, range(FOLDS)))

    found = {"finals": (best(done[:3]), cost + len(done[:3]) * FOLDS * EPOCHS)}
    found["reuse"] = (best(done[:4]), cost + len(done[:4]) * (FOLDS - 1) * EPOCHS)
    winner, runs = race([seen], done, len(done[:3]) * FOLDS)
    found["race"] = (winner, cost + runs * EPOCHS)
    for most in (7, 9, 11):
        winner, runs = race(views, done, most)
        found[f"clean race, {most} runs each"] = (winner, cost + runs * EPOCHS)
    return found


def replay(table: Table, studies: int) -> None:
    """One table of rules for each number of patients and trials."""
    configs = np.array(sorted({config for config, _, _ in table}))
    held = np.arange(len(next(iter(table.values())).dice))
    everyone = Patients(table, [held] * FOLDS, [])
    truth = {int(config): everyone.value(int(config), range(FOLDS)) for config in configs}
    print(f"{len(configs)} configurations, {FOLDS} folds, {FOLDS * len(held)} patients; {studies} studies in each line")
    print(f"{'patients':>8}{'trials':>7}  {'rule':<26}{'epochs':>7}{'regret':>8}{'gain on finals':>16}")
    for patients in (30, 60, 200):
        for trials in (20, 40):
            chosen = defaultdict(list)
            for seed in range(studies):
                for rule, end in study(table, configs, patients, trials, seed).items():
                    chosen[rule].append(end)
            values = {rule: np.array([truth[config] for config, _ in ends]) for rule, ends in chosen.items()}
            for rule, ends in chosen.items():
                gain = values[rule] - values["finals"]
                error = gain.std() / math.sqrt(studies)
                cost, regret = np.mean([epochs for _, epochs in ends]), max(truth.values()) - values[rule].mean()
                print(
                    f"{patients:>8}{trials:>7}  {rule:<26}{cost:>7.0f}{regret:>8.4f}{gain.mean():>+9.4f} ({error:.4f})"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path("build/racing"), help="Folder of the trained table.")
    for name, value in {"configurations": 12, "patients": 100, "studies": 60}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    if not list(given.table.glob("*.pkl")):
        train_table(given.table, given.configurations, given.patients)
    rows = [row for file in sorted(given.table.glob("*.pkl")) for row in pickle.loads(file.read_bytes())]
    table = {(row[0], row[2], row[3]): predictions(row[4]) for row in rows if row[1] == 0 and row[3] > 0}
    whole = {config for config, _, _ in table if all((config, fold, EPOCHS) in table for fold in range(FOLDS))}
    replay({block: seen for block, seen in table.items() if block[0] in whole}, given.studies)


if __name__ == "__main__":
    main()
