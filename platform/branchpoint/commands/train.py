"""The body of ``branchpoint train``: data to a prepared cohort, training, and the figures as a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from branchpoint.config import Config
from branchpoint.config.file import read_config

if TYPE_CHECKING:
    from branchpoint.search.retraining import Retraining


def train(
    file: Path,
    folds: str,
    store: str,
    study: str | None,
    data_root: Path | None,
    home: Path | None,
    skip_faulty: bool,
    address: str | None,
    *,
    workers: int,
    cpus: int,
    gpus: float,
    cohorts: str | None = None,
) -> None:
    """Read, check and prepare the cohort, train, print; see ``branchpoint train --help``.

    Raises:
        ValueError: the Config, a fold, the cohort or the request for workers is not possible; nothing has started.
        RuntimeError: a fold failed.
    """
    from branchpoint.datasets.pipeline import checked_cohort
    from branchpoint.execution.resources import Resources
    from branchpoint.execution.state import home_folder, store_and_state
    from branchpoint.search.retraining import Retraining

    config = read_config(file)
    if data_root is not None:
        config = replace(config, dataset=replace(config.dataset, root=str(data_root.expanduser().resolve())))
    chosen, place = which_folds(folds, config), home_folder(home)
    resources = Resources(cpus=cpus, gpus=gpus, workers=workers)
    prepared, excluded = checked_cohort(
        config.dataset, place / "cache", folds=config.split.folds, without_faulty=skip_faulty
    )
    name = study or f"train-{config.candidate}"
    where, state = store_and_state(store, place, name)
    retraining = Retraining(
        study=name,
        config=config,
        folds=chosen,
        prepared=prepared.path,
        store=where,
        state=state,
        resources=resources,
        excluded=excluded,
        address=address,
        cohorts=cohorts,
    )
    retraining.run()
    _show(retraining)


def which_folds(text: str, config: Config) -> list[int]:
    """``all``, one number, or the Config's own for an empty text.

    Raises:
        ValueError: the split has no such fold.
    """
    rounds = config.split.rounds
    if text == "all":
        return [*rounds]
    if not text:
        return [config.split.fold]
    if not text.isdigit() or int(text) not in rounds:
        raise ValueError(f"--folds is {text!r}: give 'all' or a number from 0 to {rounds[-1]}")
    return [int(text)]


def _show(retraining: Retraining) -> None:
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_test_figures
    from branchpoint.store import Store

    results = load_results(Store(retraining.store), retraining.study)
    print_test_figures(results.pooled_test, results.primary_metrics)
    for spec in retraining.specs():
        print(f"weights: {retraining.network(spec)}")
    print(f"results: {retraining.store}, study {retraining.study}")
