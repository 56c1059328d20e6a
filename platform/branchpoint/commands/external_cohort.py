"""The networks of a finished study on a cohort from elsewhere: what ``branchpoint evaluate`` computes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from branchpoint.config import Config, DomainConfig
from branchpoint.datasets.pipeline import checked_cohort
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.evaluation.estimates import external_records
from branchpoint.evaluation.evaluation import evaluate
from branchpoint.execution.finished import FinishedStudy
from branchpoint.execution.held_out import Summaries
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.execution.state import NETWORK
from branchpoint.store import Store


def evaluate_elsewhere(
    store: Store,
    study: str,
    data_root: Path,
    *,
    dataset: str = "",
    release: str | None = None,
    name: str = "",
    home: Path | None = None,
    skip_faulty: bool = False,
) -> str:
    """Evaluate every network of the recommended Config on the whole cohort, and write the figures to the store.

    Args:
        store: results store.
        study: its name.
        data_root: folder of the external cohort.
        dataset: its reader; by default the study's.
        release: its release; by default the study's.
        name: what the cohort is called in the figures; by default the folder's name.
        home: folder with the cache.
        skip_faulty: leave patients with errors in their files out.

    Returns:
        The label of the figures.

    Raises:
        ValueError: the study has no networks here; or the cohort lacks a target or a modality that they need.
    """
    finished = FinishedStudy.open(store, study, home=home)
    root = data_root.expanduser().resolve()
    if finished.config.dataset.root and root == Path(finished.config.dataset.root):
        raise ValueError(f"--data-root {root} is the folder that study {study!r} learned from: give another cohort")
    wanted = replace(
        finished.config.dataset,
        root=str(root),
        name=dataset or finished.config.dataset.name,
        release=finished.config.dataset.release if release is None else release,
    )
    prepared, _ = checked_cohort(wanted, finished.home / "cache", folds=2, without_faulty=skip_faulty)
    _require_targets(finished.config, prepared)
    setup = finished.setup(prepared.path)
    runs = [_predictions(spec, setup, prepared) for folds in finished.runs for spec in folds]
    label = f"{finished.label}, external cohort {name or root.name}"
    records = external_records(
        study=study,
        config=finished.config,
        label=label,
        runs=runs,
        groups=prepared.groups,
        centers=prepared.centers,
    )
    store.writer(study).figures(records)
    return label


def _require_targets(config: Config, prepared: PreparedCohort) -> None:
    targets: list[str] = [
        str(getattr(task, "target", "")) for task in config.tasks if not isinstance(task, DomainConfig)
    ]
    wanted = {target for target in targets if target}
    missing = sorted(wanted - set(prepared.targets))
    if missing:
        raise ValueError(
            f"cohort {prepared.name!r} has no {', '.join(missing)}, which the study's networks predict; its targets "
            f"are {', '.join(prepared.targets)}. Patients may lack a label, but the cohort must declare the target"
        )


def _predictions(spec: RunSpec, setup: Setup, prepared: PreparedCohort) -> Summaries:
    import torch

    from branchpoint.networks import build

    network = build(spec.config)
    content = io.BytesIO(setup.run_folder(spec.name).place.read(NETWORK))
    network.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return evaluate(network.to(device), spec.config, prepared, np.arange(len(prepared)), device)
