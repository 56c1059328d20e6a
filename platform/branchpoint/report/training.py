"""The body of ``branchpoint train``: data to a prepared cohort, training, and the figures as a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from branchpoint.config import Config, DatasetConfig


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
) -> None:
    """Read, check and prepare the cohort, train, print; see ``branchpoint train --help``.

    Raises:
        ValueError: the Config, a fold, the cohort or the request for workers is not possible; nothing has started.
        RuntimeError: a fold failed.
    """
    from branchpoint.search.folders import home_folder
    from branchpoint.search.retraining import Retraining
    from branchpoint.search.session import Resources

    config = read_config(file)
    if data_root is not None:
        config = replace(config, dataset=replace(config.dataset, root=str(data_root.expanduser().resolve())))
    chosen, place = which_folds(folds, config), home_folder(home)
    resources = Resources(cpus=cpus, gpus=gpus, workers=workers)
    manifest, excluded = _prepare(config.dataset, config.split.folds, place / "cache", skip_faulty)
    where = store or str(place / "results")
    where = where if "://" in where else str(Path(where).expanduser().resolve())
    name = study or f"train-{config.candidate}"
    state = (place if "://" in where else Path(where)) / ".state" / name
    retraining = Retraining(
        study=name, config=config, folds=chosen, prepared=manifest, store=where, state=state, resources=resources,
        excluded=excluded, address=address,
    )  # fmt: skip
    retraining.run()
    _show(retraining)


def read_config(file: Path) -> Config:
    """The Config in ``file``: its JSON, or the first row of what ``branchpoint best --json`` prints.

    Raises:
        ValueError: there is none; the message names the file and the place in it.
    """
    try:
        text = file.read_text()
        found = json.loads(text)
        if isinstance(found, list) and found and isinstance(found[0], dict) and "config" in found[0]:
            text = json.dumps(found[0]["config"])
        return Config.from_json(text)
    except OSError as problem:
        raise ValueError(f"--config {file}: {problem.strerror}") from None
    except ValueError as problem:
        raise ValueError(f"--config {file}: {problem}") from None


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


def _prepare(dataset: DatasetConfig, folds: int, cache: Path, skip_faulty: bool) -> tuple[Path, tuple[str, ...]]:
    """Manifest of the prepared cohort, and who was left out.

    Raises:
        CohortError: the cohort has errors.
    """
    from branchpoint.datasets.check import check_cohort
    from branchpoint.datasets.check import skip_faulty as without_faulty
    from branchpoint.datasets.prepared import prepare
    from branchpoint.datasets.problems import CohortError
    from branchpoint.datasets.readers import read_cohort

    if not dataset.root:
        raise ValueError("dataset.root is empty: give --data-root, the folder of the release")
    cohort = read_cohort(dataset)
    problems = check_cohort(cohort, dataset, folds=folds)
    excluded: tuple[str, ...] = ()
    if skip_faulty:
        cohort, excluded = without_faulty(cohort, problems, folds=folds)
        problems = list(cohort.problems)
        print(f"left out as faulty: {', '.join(excluded) or 'nobody'}")
    if any(problem.severity == "error" for problem in problems):
        raise CohortError(problems)
    return prepare(cohort, dataset, cache, excluded=excluded).path, excluded


def _show(retraining: object) -> None:
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_test_figures
    from branchpoint.search.retraining import Retraining
    from branchpoint.store import Store

    assert isinstance(retraining, Retraining)
    results = load_results(Store(retraining.store), retraining.study)
    print_test_figures(results.pooled_test, results.primary_metrics)
    for work in retraining.works():
        print(f"weights: {retraining.network(work)}")
    print(f"results: {retraining.store}, study {retraining.study}")
