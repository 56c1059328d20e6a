"""The second route to a sharing tree: what trained networks of two tasks say about networks of more.

After Zhang et al. 2022 (TreeMTL): the quality of a task in a tree is predicted as the mean, over its partners, of its
quality in the network of the two of them that parts at the same stage. Written as a sum over stages of what sharing
one more stage brings, that is what :func:`branchpoint.affinity.sharing_tree.best_tree` maximises exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from branchpoint.affinity.relations import sharing_trees, tree_record
from branchpoint.affinity.sharing_tree import TreeProposal, best_tree
from branchpoint.config import Config
from branchpoint.networks import stage_macs, topology_of
from branchpoint.store import Store
from branchpoint.tasks import build_task
from branchpoint.topology import SharingTrees, Topology

EVIDENCE = "pairs"


@dataclass(frozen=True)
class PairQualities:
    """Qualities of tasks in networks of two.

    Attributes:
        trees: of all tasks.
        quality: float64 (T, T, stages + 1), [recipient, partner, parting stage] in the order of ``trees.tasks``; NaN
            for a pair that nobody trained; between trained depths interpolated, beyond them constant.
        trials: how many stand behind each entry, int; 0 where it is interpolated.
    """

    trees: SharingTrees
    quality: np.ndarray
    trials: np.ndarray

    @property
    def unknown(self) -> list[str]:
        """Pairs without any trial, such as ``a+b``."""
        names = self.trees.tasks
        counts = self.trials.sum(axis=2)
        return [f"{a}+{b}" for i, a in enumerate(names) for j, b in enumerate(names) if i < j and not counts[i, j]]

    def predict(self, topology: Topology) -> dict[str, float]:
        """Predicted quality of each task in ``topology``; NaN where none of its pairs is known."""
        names, found = self.trees.tasks, {}
        for i, task in enumerate(names):
            values = [
                self.quality[i, j, topology.branching_point(task, other)] for j, other in enumerate(names) if j != i
            ]
            known = [value for value in values if np.isfinite(value)]
            found[task] = float(np.mean(known)) if known else float("nan")
        return found

    def best(self, stage_costs: Sequence[float], budget: float = float("inf")) -> TreeProposal:
        """The tree with the largest sum of predicted qualities within ``budget``; of equal ones the cheapest.

        The gain is what it has over separate networks. Unknown pairs say nothing.

        Raises:
            ValueError: no tree is within the budget.
        """
        steps = np.nan_to_num(np.diff(self.quality, axis=2))  # (T, T, stages): what sharing one more stage brings
        known = np.isfinite(self.quality[:, :, 0]).sum(axis=1).clip(min=1)
        affinity = np.moveaxis(steps / known[:, None, None], 2, 0)
        return best_tree(self.trees, affinity, stage_costs, budget=budget, reduce="sum")


def pair_qualities(store: Store, study: str | None, config: Config) -> PairQualities:
    """From the COMPLETE trials (of ``study``, or of all) that train two of the tasks of ``config``.

    A trial counts where its network has the stages of ``config``'s encoder family and neither cascades nor exchanges,
    on the same dataset, release and fold: validation patients of other folds are test patients of this one. Its tasks
    are rated by the share of a score, from 0 to 1, that their primary validation metric gives (``Task.share``); trials
    of equal pair and depth are averaged, whatever else differs.

    Raises:
        ValueError: there is no such trial.
    """
    names = [task.name for task in config.tasks]
    trees = sharing_trees(config, names)
    stages = trees.encoder + trees.decoder
    sums, counts = np.zeros((len(names), len(names), stages + 1)), np.zeros((len(names), len(names), stages + 1), int)
    for row in store.trials(study, columns=["state", "config", "metrics"]).to_pylist():
        trial = Config.from_json(row["config"]) if row["state"] == "COMPLETE" else None
        if trial is None or not _comparable(trial, config, trees):
            continue
        metrics = dict(row["metrics"] or ())
        for first, second in permutations([task for task in trial.tasks if task.weight > 0]):
            depth = topology_of(trial).branching_point(first.name, second.name)
            task = build_task(first)
            value = metrics.get(f"validation/{first.name}/{task.primary_metric}", float("nan"))
            if np.isfinite(value):
                place = trees.tasks.index(first.name), trees.tasks.index(second.name), depth
                sums[place] += task.share(value)
                counts[place] += 1
    if not counts.any():
        raise ValueError(
            f"the store {store.uri} holds no complete trial that trains two of {', '.join(names)} alone, "
            "without cascades and exchanges, on this dataset and these stages: train pairs first, with "
            "the weights of the other tasks 0"
        )
    return PairQualities(trees, _filled(sums, counts), counts)


def write_pair_proposal(store: Store, study: str, config: Config, qualities: PairQualities, tree: TreeProposal) -> None:
    """The tree to the table ``proposals``, with evidence ``pairs``."""
    note = f"predicted from {int(qualities.trials.sum()) // 2} trained networks of two tasks"
    if qualities.unknown:
        note += f"; nothing is known of {', '.join(qualities.unknown)}"
    record = tree_record(
        tree, study=study, fingerprint=config.fingerprint, evidence=EVIDENCE, config=config.to_json(), note=note
    )
    store.writer(study).append([record])


def propose_from_pairs(
    store: Store, study: str, config: Config, budget: float = float("inf")
) -> tuple[PairQualities, TreeProposal]:
    """Predict, find the best tree within ``budget`` networks' MACs, and remember it."""
    macs = stage_macs(config)
    qualities = pair_qualities(store, None, config)
    tree = qualities.best(macs, budget * sum(macs))
    write_pair_proposal(store, study, config, qualities, tree)
    return qualities, tree


def _comparable(trial: Config, config: Config, trees: SharingTrees) -> bool:
    trained = [task.name for task in trial.tasks if task.weight > 0]
    data, same = trial.dataset, config.dataset
    if (
        len(trained) != 2
        or not set(trained) <= set(trees.tasks)
        or (data.name, data.release) != (same.name, same.release)
        or trial.split != config.split
    ):
        return False
    own = sharing_trees(trial, [task.name for task in trial.tasks])
    if own.encoder != trees.encoder or own.decoder not in (0, trees.decoder):
        return False
    topology = topology_of(trial)
    return not (topology.cascades or topology.exchanges)


def _filled(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means, interpolated over depth."""
    means = np.full(sums.shape, np.nan)
    depths = np.arange(sums.shape[2])
    for i, j in np.ndindex(sums.shape[:2]):
        known = counts[i, j] > 0
        if known.any():
            means[i, j] = np.interp(depths, depths[known], sums[i, j][known] / counts[i, j][known])
    return means
