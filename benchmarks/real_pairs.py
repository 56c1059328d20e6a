"""Trees predicted from networks of two tasks on real scans, and whether training the trees agrees.

    python benchmarks/real_pairs.py ph2 --root $BRANCHPOINT_DATA/ph2 [--depths 0 2 99] [--folds 2] [--trees 8]

Every pair of tasks is trained at each parting stage on each fold, as ``branchpoint train`` would, into a store; then
``branchpoint pairs`` proposes. Trees are trained as well and rated on validation patients by the sum of what each task
adds to a score, beside the sum that the pairs predict, with Spearman's rank correlation of the two.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from real_relations import begin, chosen_trees, command_line
from scipy.stats import spearmanr

from branchpoint.affinity.pairs import propose_from_pairs
from branchpoint.affinity.relations import sharing_trees
from branchpoint.config import Config
from branchpoint.datasets.pipeline import checked_cohort
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.execution.attempt import execute
from branchpoint.execution.run_spec import RunSpec, Setup, known_outcomes
from branchpoint.report.relations import print_pairs
from branchpoint.store import Store
from branchpoint.tasks import build_task
from branchpoint.topology import Topology
from branchpoint.training.loop import fit


def pair_configs(config: Config, depths: list[int], folds: int) -> Iterator[Config]:
    """Every two tasks of ``config``, parting at each of ``depths`` that they can share, on each fold."""
    for pair in combinations([task.name for task in config.tasks], 2):
        trees = sharing_trees(config, pair)
        most = trees.encoder + (trees.decoder if set(pair) <= set(trees.decoded) else 0)
        tasks = tuple(task for task in config.tasks if task.name in pair)
        for depth in sorted({min(depth, most) for depth in depths}):
            topology = Topology.branching(pair, trees.decoded, depth, trees.encoder, trees.decoder)
            for fold in range(folds):
                yield replace(
                    config,
                    tasks=tasks,
                    network=replace(config.network, topology=topology),
                    seed=fold,
                    split=replace(config.split, fold=fold),
                )


def total(config: Config, prepared: PreparedCohort) -> float:
    """Sum over tasks of the share of a score that each gets on the validation patients."""
    metrics, tasks = fit(config, prepared, device="cpu").metrics, [build_task(task) for task in config.tasks]
    return sum(task.share(metrics[f"validation/{task.config.name}/{task.primary_metric}"]) for task in tasks)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 2, 99])
    options = parser.parse_args()
    config = begin(options)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(options.store or f"{folder}/results")
        prepared, _ = checked_cohort(config.dataset, Path(folder, "cache"), folds=config.split.folds)
        setup = Setup(
            study=f"{options.dataset}-pairs", store=store.uri, folder=Path(folder, "state"), prepared=prepared.path
        )
        known, began, count = known_outcomes(store, setup.study, setup.objective), time.process_time(), 0
        for count, own in enumerate(pair_configs(config, options.depths, options.folds), start=1):
            spec = RunSpec(f"{count:04d}", own)
            outcome = known.get(spec.name) or execute(spec, setup, lambda *_: None)
            if outcome.state != "COMPLETE":
                print(f"{outcome.name} {outcome.state}: {outcome.reason}")
        print(
            f"{count} networks of two tasks ({len(known)} of them from the store), "
            f"{time.process_time() - began:.0f} s of processor time",
            flush=True,
        )
        qualities, proposed = propose_from_pairs(store, options.dataset, config)
        print_pairs(qualities, proposed)
        trees = sharing_trees(config, qualities.trees.tasks)
        predicted, observed = [], []
        for label, tree in chosen_trees(trees, proposed.topology, options.trees).items():
            runs = [
                total(
                    replace(
                        config,
                        network=replace(config.network, topology=tree),
                        seed=fold,
                        split=replace(config.split, fold=fold),
                    ),
                    prepared,
                )
                for fold in range(options.folds)
            ]
            predicted.append(sum(qualities.predict(tree).values()))
            observed.append(float(np.nanmean(runs)))
            each = " ".join(f"{run:.3f}" for run in runs)
            print(f"{label:12s} predicted {predicted[-1]:.3f}  trained {observed[-1]:.3f} ({each})", flush=True)
        found = spearmanr(predicted, observed).statistic
        print(f"Spearman of predicted and trained over {len(predicted)} trees: {found:+.2f}")


if __name__ == "__main__":
    main()
