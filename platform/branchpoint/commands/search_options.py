"""The options of a search job, and what follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from branchpoint.commands.job import Job, Scale
from branchpoint.commands.options import (
    AddressOption,
    CohortsOption,
    DataRootOption,
    HomeOption,
    RefitOption,
    SkipFaultyOption,
)
from branchpoint.execution.resources import Resources
from branchpoint.io.storage import is_uri


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The command line of a search job. An option that is ``None`` is left to the job or its scale."""

    data_root: DataRootOption = None
    release: Annotated[str | None, typer.Option(help="Release of the dataset.")] = None
    demo: Annotated[bool, typer.Option("--demo", help="Run at a scale that takes minutes on two cores.")] = False
    smoke: Annotated[bool, typer.Option("--smoke", help="Run every part once at the smallest scale.")] = False
    tasks: Annotated[
        str | None, typer.Option(help="Tasks to learn, separated by commas; by default all of the study.")
    ] = None
    objective: Annotated[
        str | None,
        typer.Option(help="The tasks that count in the score, such as `survival` or `tumour=2,survival=1`."),
    ] = None
    encoder: Annotated[
        str | None, typer.Option(help="Encoder of the first networks; on pictures the search tries others, too.")
    ] = None
    validation_share: Annotated[
        float | None, typer.Option(help="Share of the patients outside the test fold that validate.")
    ] = None
    sampler: Annotated[
        str, typer.Option(help="Optuna's sampler: tpe, gp (Gaussian process), nsga2, random or qmc (Sobol).")
    ] = "tpe"
    references: Annotated[
        str,
        typer.Option(
            help="Networks trained for comparison: none, few (all shared, and up to three tasks alone) or all."
        ),
    ] = "few"
    trials: Annotated[int | None, typer.Option(min=1, help="Trials of the search.")] = None
    budget: Annotated[
        str | None,
        typer.Option(
            help="For search, finals and references together: epochs, such as 2000, or a time, such as 90m or 8h. "
            "Trials start until the search's part is used."
        ),
    ] = None
    max_parameters: Annotated[
        float | None, typer.Option(min=1, help="Most parameters of a network that is tried, such as 5e6.")
    ] = None
    max_macs: Annotated[
        float | None, typer.Option(min=1, help="Most multiply-accumulates for one sample, such as 2e9.")
    ] = None
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a trial.")] = None
    final_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a finalist.")] = None
    top: Annotated[int | None, typer.Option(min=1, help="Best candidates that are trained on all folds.")] = None
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Networks of each finalist on each fold; 3 by default, 1 at scales that take minutes."
        ),
    ] = None
    refit: RefitOption = False
    folds: Annotated[int | None, typer.Option(min=2, help="Folds of the cross-validation.")] = None
    scheme: Annotated[
        str | None, typer.Option(help="How patients are split: cross_validation, centres, official or paper.")
    ] = None
    spacing_mm: Annotated[float | None, typer.Option(help="Isotropic spacing of volumes after resampling.")] = None
    size: Annotated[str | None, typer.Option(help="Voxels along all edges, or along each edge, such as 270x480.")] = (
        None
    )
    patients: Annotated[int | None, typer.Option(min=1, help="Patients of the phantom.")] = None
    width: Annotated[
        int | None, typer.Option(min=1, help="Channels of the first level; the search varies about it.")
    ] = None
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples of a training step.")] = None
    censoring: Annotated[float | None, typer.Option(help="Share of the phantom's patients without an event.")] = None
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate of the published configurations.")] = None
    workers_per_trial: Annotated[int, typer.Option(min=1, help="Workers that train one network together.")] = 1
    cpus_per_trial: Annotated[int, typer.Option(min=1, help="CPU cores of a trial, or of each of its workers.")] = 1
    gpus_per_trial: Annotated[
        float, typer.Option(help="GPUs of a trial, or of each of its workers; a fraction shares one.")
    ] = 0.0
    memory_gb: Annotated[float | None, typer.Option(help="Memory that a trial may need, in GB.")] = None
    concurrency: Annotated[int | None, typer.Option(min=1, help="Trials at once; by default as many as fit.")] = None
    growing: Annotated[bool, typer.Option("--growing", help="The cluster adds nodes while trials wait.")] = False
    address: AddressOption = None
    store: Annotated[
        str | None, typer.Option(help="Folder or URI of the results store; by default `results` in the home folder.")
    ] = None
    cohorts: CohortsOption = None
    study: Annotated[str | None, typer.Option(help="Name of the study; the same name continues the same study.")] = None
    home: HomeOption = None
    skip_faulty: SkipFaultyOption = False
    start_from: Annotated[
        str | None,
        typer.Option(help="Weights that every training starts from: a checkpoint, a file, or the folder of a run."),
    ] = None
    seed: Annotated[int, typer.Option(help="Random seed of folds, networks, search and phantom.")] = 0

    @property
    def root(self) -> Path | None:
        """Absolute path of the release; ``None`` for the phantom."""
        return self.data_root.expanduser().resolve() if self.data_root else None

    @property
    def resources(self) -> Resources:
        """Resources of a trial."""
        return Resources(
            cpus=self.cpus_per_trial,
            gpus=self.gpus_per_trial,
            concurrency=self.concurrency,
            memory_gb=self.memory_gb,
            growing=self.growing,
            workers=self.workers_per_trial,
        )

    @property
    def weights(self) -> str:
        """Absolute path or URI of the weights that trainings start from; empty for none."""
        if not self.start_from or is_uri(self.start_from):
            return self.start_from or ""
        return str(Path(self.start_from).expanduser().resolve())

    def scale(self, job: Job) -> Scale:
        """The scale that is asked for, with the values that the command line gives.

        Raises:
            ValueError: a value does not suit the dataset.
        """
        default = job.default if self.data_root is None else "paper"
        name = "smoke" if self.smoke else "demo" if self.demo else default
        given: dict[str, Any] = {field.name: getattr(self, field.name, None) for field in fields(Scale)}
        if self.size is not None:
            given["size"] = edges(self.size)
        if self.seeds is None and name != "paper":
            given["seeds"] = 1
        return job.scale(name, {name: value for name, value in given.items() if value is not None})


def edges(text: str) -> int | tuple[int, ...]:
    """Edges from the text of ``--size``: ``96`` or ``270x480``."""
    try:
        found = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--size is {text!r}: give a number, or one for each edge with x between") from None
    return found[0] if len(found) == 1 else found
