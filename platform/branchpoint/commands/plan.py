"""``branchpoint plan``: a Config for a cohort, each choice with its reason."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from branchpoint.commands.options import JsonOption, with_options

if TYPE_CHECKING:
    from branchpoint.commands.job import StudySpace
    from branchpoint.commands.planning import TrainingPlan
    from branchpoint.config import Config


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of ``branchpoint plan``."""

    dataset: Annotated[str, typer.Argument(help="Name of the dataset, such as ph2, sts or folder.")]
    root: Annotated[Path, typer.Option(help="Folder of the release.")]
    release: Annotated[str, typer.Option(help="Release, for datasets that have several.")] = ""
    memory_gb: Annotated[float, typer.Option(min=0.01, help="Memory that one training may take.")] = 8.0
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of one training.")] = 1000
    out: Annotated[Path | None, typer.Option(help="Write the Config to this file, for `branchpoint train`.")] = None
    as_json: JsonOption = False


@with_options(PlanOptions)
def plan(options: PlanOptions) -> None:
    """Look at a cohort's sizes, spacings and labels, and choose a training for it.

    Every choice is printed with its reason. The Config can be edited and trained; the last line gives the options of
    the dataset's search job that begin it in the same place.
    """
    from branchpoint.commands.planning import plan_training
    from branchpoint.config import DatasetConfig
    from branchpoint.datasets.fingerprint import fingerprint_cohort
    from branchpoint.datasets.readers.registry import read_cohort

    space = space_of(options.dataset)
    dataset = DatasetConfig(
        name=options.dataset, root=str(options.root.expanduser().resolve()), release=options.release
    )
    cohort = read_cohort(dataset)
    if not cohort.patients:
        raise ValueError(f"no patients of {options.dataset} under {dataset.root}: run `branchpoint check-data` there")
    fingerprint = fingerprint_cohort(cohort)
    found = plan_training(
        fingerprint,
        dataset,
        space.base,
        region=cohort.region,
        memory_gb=options.memory_gb,
        steps=options.steps,
    )
    if options.out:
        options.out.write_text(found.config.to_json() + "\n")
    if options.as_json:
        print(found.config.to_json())
        return
    _show(found, f"{options.dataset}: {len(cohort.patients)} samples")
    faults = len(fingerprint.unreadable) + sum(row.severity == "error" for row in cohort.problems)
    if faults:
        print(
            f"{faults} faults in files and tables: `branchpoint check-data {options.dataset}` names them; correct them"
        )
    print(f"python jobs/nas_{options.dataset}.py --data-root {options.root} {job_options(found.config)}")


def space_of(dataset: str) -> StudySpace:
    """The search space of ``dataset``.

    Raises:
        ValueError: it has none.
    """
    name = f"search_spaces.{dataset}"
    try:
        space: StudySpace = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name not in (name, "search_spaces"):
            raise
        raise ValueError(
            f"dataset is {dataset!r}: there is no search space {name}, which says what its tasks are"
        ) from None
    return space


def job_options(config: Config) -> str:
    """The command line of a search job with the sizes of ``config``."""
    size = "x".join(map(str, config.dataset.size_voxels))
    spacing = f" --spacing-mm {config.dataset.spacing_mm:g}" if len(config.dataset.size_voxels) == 3 else ""
    training = f"--batch-size {config.training.batch_size} --final-epochs {config.training.epochs}"
    return f"--size {size}{spacing} --width {config.network.width} {training} --folds {config.split.folds}"


def _show(found: TrainingPlan, title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("choice", "value", "because", title=escape(title))
    for choice in found.choices:
        table.add_row(escape(choice.name), escape(choice.value), escape(choice.reason))
    Console().print(table)
