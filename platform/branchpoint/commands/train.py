"""``branchpoint train``: data to a prepared cohort, training of one Config, and its test results as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from branchpoint.commands.options import (
    AddressOption,
    CohortsOption,
    DataRootOption,
    HomeOption,
    RefitOption,
    SkipFaultyOption,
    StoreOption,
    StudyOption,
    with_options,
)

if TYPE_CHECKING:
    from branchpoint.config import Config
    from branchpoint.search.retraining import Retraining


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of ``branchpoint train``."""

    config: Annotated[Path, typer.Option(help="File with a Config as JSON, such as `best --json` prints.")]
    workers: Annotated[int, typer.Option(min=1, help="Workers that train one network together.")] = 1
    folds: Annotated[str, typer.Option(help="`all`, or the number of a fold; by default the fold of the Config.")] = ""
    refit: RefitOption = False
    store: StoreOption = ""
    study: StudyOption = None
    data_root: DataRootOption = None
    cpus_per_worker: Annotated[int, typer.Option(min=1, help="CPU cores of each worker.")] = 1
    gpus_per_worker: Annotated[float, typer.Option(help="GPUs of each worker; a fraction shares one.")] = 0.0
    address: AddressOption = None
    home: HomeOption = None
    cohorts: CohortsOption = None
    skip_faulty: SkipFaultyOption = False


@with_options(TrainOptions)
def train(options: TrainOptions) -> None:
    """Train one Config on one fold or all, with one worker or several.

    The same command continues a training that was interrupted.
    """
    from branchpoint.config.file import read_config

    config = read_config(options.config)
    if options.data_root is not None:
        root = str(options.data_root.expanduser().resolve())
        config = replace(config, dataset=replace(config.dataset, root=root))
    retraining = prepare(config, options)
    retraining.run()
    _show(retraining)


def prepare(config: Config, options: TrainOptions) -> Retraining:
    """Check and prepare the cohort of ``config``; nothing is trained yet.

    Raises:
        ValueError: the Config, a fold, the cohort or the request for workers is not possible.
    """
    from branchpoint.datasets.pipeline import checked_cohort
    from branchpoint.execution.resources import Resources
    from branchpoint.execution.state import home_folder, store_and_state
    from branchpoint.search.retraining import Retraining

    folds, home = which_folds(options.folds, config), home_folder(options.home)
    resources = Resources(cpus=options.cpus_per_worker, gpus=options.gpus_per_worker, workers=options.workers)
    prepared, excluded = checked_cohort(
        config.dataset, home / "cache", folds=config.split.folds, without_faulty=options.skip_faulty
    )
    name = options.study or f"train-{config.candidate}"
    store, state = store_and_state(options.store, home, name)
    return Retraining(
        study=name,
        config=config,
        folds=folds,
        prepared=prepared.path,
        store=store,
        state=state,
        resources=resources,
        excluded=excluded,
        address=options.address,
        cohorts=options.cohorts,
        refit=options.refit,
    )


def which_folds(text: str, config: Config) -> list[int]:
    """``all``, one number, or the Config's own fold for an empty text.

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
    for spec in [*retraining.specs(), *(retraining.refits() if retraining.refit else [])]:
        print(f"weights: {retraining.network(spec)}")
    print(f"results: {retraining.store}, study {retraining.study}")
