"""From measured relations of tasks to proposals: which tasks to learn together, and down to which stage.

Proposals rest on ``excess``, whose sign says whether a task helps or hurts (see :mod:`branchpoint.affinity.probe`).
Only means that are told from zero count, with the false-discovery rate over all pairs (and stages) controlled at
``RATE``; the others are zero: where nothing is known, sharing is cheaper and is proposed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from branchpoint.affinity.grouping import Group, Grouping, best_grouping
from branchpoint.affinity.matrices import Affinities, Matrix, blocks
from branchpoint.affinity.sharing_tree import TreeProposal, best_tree
from branchpoint.config import Config
from branchpoint.config.serialization import from_plain, to_plain
from branchpoint.networks import stage_counts, stage_macs
from branchpoint.store import AffinityRecord, ProposalRecord, Store
from branchpoint.topology import SharingTrees, Topology

EVIDENCE = "excess"
RATE = 0.1
"""Expected share of false ones among the means that count."""


@dataclass(frozen=True)
class Proposals:
    """What measured relations speak for.

    Attributes:
        groupings: the best with at most 1, 2, ... networks; a task is served by one of the groups that hold it.
        tree: the best sharing tree; its cost is in MACs of one image.
    """

    groupings: tuple[Grouping, ...]
    tree: TreeProposal

    @property
    def grouping(self) -> Grouping:
        """The one with the highest score; of equal ones that with fewer networks."""
        best = max(grouping.score for grouping in self.groupings)
        return next(g for g in self.groupings if g.score >= best - 1e-12)


def certain(matrices: Sequence[Matrix], rate: float = RATE) -> np.ndarray:
    """Means (M, T, T) of ``matrices`` that are told from zero; 0 for the others and those that were not measured.

    Student's t of each mean over its error, with as many degrees of freedom as blocks less one, and the procedure of
    Benjamini and Hochberg 1995 ("Controlling the false discovery rate", Journal of the Royal Statistical Society B 57,
    eq. 1). All pairs of all matrices are one family; what a task does for itself (the diagonal) is tested by itself.
    """
    from scipy.stats import false_discovery_control, t

    mean, error = (np.stack([getattr(each, name) for each in matrices]) for name in ("mean", "error"))
    freedom = np.vectorize(blocks, otypes=[int])(np.stack([each.count for each in matrices])) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(freedom > 0, 2 * t.sf(np.abs(mean) / error, np.maximum(freedom, 1)), np.nan)
    pairs = np.isfinite(p) & ~np.eye(mean.shape[1], dtype=bool)
    if pairs.any():
        p[pairs] = false_discovery_control(p[pairs], method="bh")
    return np.where(np.nan_to_num(p, nan=1.0) <= rate, np.nan_to_num(mean), 0.0)


def propose(
    config: Config, affinities: Affinities, *, evidence: str = EVIDENCE, budget: float = float("inf")
) -> Proposals:
    """Groupings and tree for the tasks of ``affinities``, which were measured on ``config``.

    Args:
        budget: most MACs of a proposal, as a multiple of those of one network that shares every stage.

    Raises:
        ValueError: nothing is within the budget.
    """
    tasks = affinities.tasks
    macs = stage_macs(config)
    trees = sharing_trees(config, tasks)
    (whole,), stages = certain([affinities.matrix(evidence)]), stage_affinities(affinities, trees, evidence)
    limit = budget * sum(macs)
    groupings = []
    for networks in range(1, len(tasks) + 1):
        groupings.append(
            best_grouping(
                tasks, whole, networks, cost=lambda g: _macs(g, trees, macs), budget=limit, alone=[0.0] * len(tasks)
            )
        )
    return Proposals(tuple(groupings), best_tree(trees, stages, macs, budget=limit, reduce="sum"))


def sharing_trees(config: Config, tasks: Sequence[str]) -> SharingTrees:
    """All sharing trees of ``tasks`` in the encoder family of ``config``."""
    dense = tuple(task.name for task in config.tasks if task.dense and task.name in tasks)
    return SharingTrees(tuple(tasks), dense, *stage_counts(config))


def stage_affinities(affinities: Affinities, trees: SharingTrees, evidence: str = EVIDENCE) -> np.ndarray:
    """Certain affinities (stages, T, T) in the order of ``trees.tasks``; 0 in stages that were not measured."""
    order = [affinities.tasks.index(task) for task in trees.tasks]
    names = [f"encoder {i}" for i in range(trees.encoder)] + [f"decoder {i}" for i in range(trees.decoder)]
    found = np.zeros((len(names), len(order), len(order)))
    measured = [place for place, name in enumerate(names) if name in affinities.stages]
    if measured:
        values = certain([affinities.matrix(evidence, names[place]) for place in measured])
        found[measured] = values[:, order][:, :, order]
    return found


def write_relations(store: Store, study: str, config: Config, affinities: Affinities, proposals: Proposals) -> None:
    """Matrices and proposals to the tables ``affinities`` and ``proposals``; measured again, they replace the former.

    A matrix has the rows [recipient, source] of all pairs.
    """
    name, tasks = config.fingerprint, affinities.tasks
    writer = store.writer(study)
    writer.append(
        [
            AffinityRecord(
                study=study,
                fingerprint=name,
                measure=matrix.measure,
                stage=matrix.stage,
                recipient=tasks[i],
                source=tasks[j],
                mean=float(matrix.mean[i, j]),
                error=float(matrix.error[i, j]),
                n=int(matrix.count[i, j]),
            )
            for matrix in affinities.matrices
            for i in range(len(tasks))
            for j in range(len(tasks))
        ]
    )
    tree = proposals.tree
    common = {
        "study": study,
        "fingerprint": name,
        "evidence": EVIDENCE,
        "config": config.to_json(),
        "note": affinities.cost(),
    }
    writer.append(
        [
            *(
                ProposalRecord(
                    kind="grouping",
                    networks=most,
                    proposal=json.dumps(grouping.groups),
                    gain=grouping.score,
                    macs=grouping.cost,
                    **common,
                )
                for most, grouping in enumerate(proposals.groupings, start=1)
            ),
            tree_record(tree, **common),
        ]
    )


def tree_record(tree: TreeProposal, **common: str) -> ProposalRecord:
    """The row of a proposed tree; ``common`` are the other fields."""
    return ProposalRecord(
        kind="tree",
        networks=len(tree.topology.encoder[0]),
        proposal=json.dumps(to_plain(tree.topology)),
        gain=tree.gain,
        macs=tree.cost,
        **common,
    )


def proposed_tree(store: Store, study: str, evidence: str = EVIDENCE) -> tuple[Config, Topology] | None:
    """The newest tree that ``study`` was proposed by ``evidence``, and the Config it was measured on."""
    rows = [row for row in store.proposals(study).to_pylist() if (row["kind"], row["evidence"]) == ("tree", evidence)]
    if not rows:
        return None
    row = rows[-1]
    return Config.from_json(row["config"]), from_plain(Topology, json.loads(row["proposal"]))


def with_prior(base: Config, topology: Topology) -> Config:
    """``base`` whose search begins at ``topology``: see :func:`branchpoint.search.space.parts.suggest_topology`."""
    return replace(base, network=replace(base.network, topology=topology))


def _macs(group: Group, trees: SharingTrees, macs: Sequence[int]) -> float:
    decoded = any(task in trees.decoded for task in group)
    return float(sum(macs if decoded else macs[: trees.encoder]))
