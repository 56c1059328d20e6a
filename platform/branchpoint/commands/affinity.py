"""Prepare a cohort, measure the relations of its tasks in one joint training, propose, and remember it in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from branchpoint.affinity.matrices import Affinities
from branchpoint.affinity.relations import Proposals, propose, write_relations
from branchpoint.config import Config
from branchpoint.store import Store


def measure_relations(
    config: Config,
    store: Store,
    study: str,
    cache: Path,
    *,
    every: int = 10,
    budget: float = float("inf"),
    device: str = "cpu",
    report: Callable[[int, float], None] | None = None,
) -> tuple[Affinities, Proposals]:
    """Affinities of the tasks of ``config`` on its dataset, and what they propose; both go to ``store``.

    Args:
        study: whose rows they are.
        cache: folder of prepared cohorts.
        every: steps between two measurements.
        budget: most MACs of a proposal, as a multiple of one shared network's.
        report: called after each epoch with its number and the mean training loss.

    Raises:
        CohortError: the cohort has errors.
        ValueError: fewer than two tasks are trained, they share nothing, or no step was looked at.
    """
    from branchpoint.affinity.measure import measure_affinities
    from branchpoint.datasets.pipeline import checked_cohort

    prepared, _ = checked_cohort(config.dataset, cache, folds=config.split.folds)
    affinities = measure_affinities(config, prepared, every=every, device=device, report=report)
    if not affinities.measurements:
        raise ValueError(
            f"the training had fewer than {every} steps: measure more often (--every), or train longer "
            "(training.epochs)"
        )
    proposals = propose(config, affinities, budget=budget)
    write_relations(store, study, config, affinities, proposals)
    return affinities, proposals
