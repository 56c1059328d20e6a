"""``branchpoint affinity`` (experimental): measure which tasks help each other, and propose what to share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from branchpoint.commands.options import ConfigOption, StoreOption

if TYPE_CHECKING:
    from branchpoint.affinity.matrices import Affinities
    from branchpoint.affinity.relations import Proposals
    from branchpoint.config import Config
    from branchpoint.store import Store


def affinity(
    config: ConfigOption,
    store: StoreOption = "results",
    study: Annotated[
        str | None, typer.Option(help="Study that the rows belong to; by default named after dataset and release.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder of prepared cohorts.")] = Path("cache"),
    every: Annotated[int, typer.Option(min=1, help="Training steps between two measurements.")] = 10,
    budget: Annotated[
        float, typer.Option(help="Largest cost of a proposal, in MACs of one network that shares everything.")
    ] = float("inf"),
    device: Annotated[str, typer.Option(help="Device to train on: cpu, cuda or cuda:1.")] = "cpu",
) -> None:
    """Experimental: measure in one joint training which tasks help each other, and propose what to share.

    The dataset, tasks, network and budget of the Config are used. The proposal says which tasks share a network, and
    down to which stage.
    """
    from branchpoint.config.file import read_config
    from branchpoint.execution.state import default_study
    from branchpoint.report.relations import print_relations
    from branchpoint.store import Store

    chosen = read_config(config)
    name = study or default_study(chosen.dataset)
    affinities, proposals = measure_relations(
        chosen,
        Store(store),
        name,
        cache,
        every=every,
        budget=budget,
        device=device,
        report=lambda epoch, loss: print(f"epoch {epoch} of {chosen.training.epochs}: training loss {loss:.4f}"),
    )
    print_relations(affinities, proposals)
    print(f"Both are in the tables affinities and proposals of {store}, study {name}.")
    print(f"To draw them, run: branchpoint report --store {store} --study {name}")


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
    from branchpoint.affinity.relations import propose, write_relations
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
