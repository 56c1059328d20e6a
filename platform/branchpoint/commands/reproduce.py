"""Train the rows of a published table and write it beside the paper's figures, with intervals and paired tests.

`branchpoint published list` names the tables. Without --data-root the cohort is a phantom, and everything is made small
enough to be tried (--demo: minutes; --smoke: the smallest run through everything); the figures then say nothing of the
paper's. Started again after a kill, the same command goes on where it was.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from branchpoint.commands.cohort import prepared_cohort
from branchpoint.commands.options import HomeOption, SkipFaultyOption, with_options
from branchpoint.commands.running import run_command
from branchpoint.config import DatasetConfig
from branchpoint.config.serialization import to_plain
from branchpoint.execution.state import StudyFolder, home_folder, store_and_state
from branchpoint.published import Experiment, Shrunk, find
from branchpoint.published.experiment import without_leaks
from branchpoint.published.reproduction import Reproduction
from branchpoint.published.table import findings, markdown, records
from branchpoint.store import Store, StudyRecord


@dataclass(frozen=True)
class Trial:
    """A small scale: limits of the Configs, runs of a row, and settings of the phantoms."""

    limits: Shrunk
    seeds: int
    phantom: dict[str, dict[str, Any]]


SCALES = {
    "demo": Trial(
        Shrunk(edge=48, spacing_mm=6.0, width=8, epochs=8, batch_size=4, folds=2),
        2,
        {
            "isic2017": {"patients": 80, "size_scale": 0.15},
            "retouch": {"patients": 12, "slices": 6},
            "cadis": {"patients": 75, "size_scale": 0.15},
            "endovis2017": {"patients": 96},
            "hecktor": {"patients": 40, "spacing_scale": 2.0, "censoring": 0.5},
        },
    ),
    "smoke": Trial(
        Shrunk(edge=32, spacing_mm=6.0, width=4, epochs=1, batch_size=8, folds=2),
        2,
        {
            "isic2017": {"patients": 24, "size_scale": 0.1},
            "retouch": {"patients": 9, "slices": 3, "size_scale": 0.1},
            "cadis": {"patients": 25, "size_scale": 0.1},
            "endovis2017": {"patients": 36, "size_scale": 0.05},
            "hecktor": {"patients": 20, "spacing_scale": 2.0},
        },
    ),
}

INCEPTION_EDGE = 80
"""Inception's stem leaves nothing of smaller pictures."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Options of ``jobs/reproduce.py``."""

    paper: Annotated[str, typer.Option(help="resformer, hog or hecktor.")]
    dataset: Annotated[str, typer.Option(help="isic2017, retouch, cadis, endovis2017 or hecktor.")]
    table: Annotated[str, typer.Option(help="Number of the table, or fig4, fig5, networks.")]
    rows: Annotated[list[str] | None, typer.Option(help="Only rows of this name or subset; may be repeated.")] = None
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each row; by default the paper's.")] = None
    data_root: Annotated[Path | None, typer.Option(help="Folder of the release; else a phantom.")] = None
    demo: Annotated[bool, typer.Option("--demo", help="Small networks and pictures.")] = False
    smoke: Annotated[bool, typer.Option("--smoke", help="The smallest run through everything.")] = False
    split: Annotated[str, typer.Option(help="paper: its own parts; whole: volumes and videos kept together.")] = "paper"
    epochs: Annotated[int | None, typer.Option(min=1, help="Of each run, instead of the paper's.")] = None
    start_from: Annotated[Path | None, typer.Option(help="Weights that every run starts from.")] = None
    cpus: Annotated[int, typer.Option(min=1, help="Threads of a run without GPU.")] = 1
    store: Annotated[str | None, typer.Option(help="Results store: folder or URI.")] = None
    study: Annotated[str | None, typer.Option(help="Name of the study; by default of paper, data and scale.")] = None
    home: HomeOption = None
    skip_faulty: SkipFaultyOption = False

    @property
    def scale(self) -> str:
        """Name of the scale in :data:`SCALES`; empty for the paper's own."""
        return "smoke" if self.smoke else "demo" if self.demo or self.data_root is None else ""

    @property
    def study_name(self) -> str:
        """As given, or of paper, data and scale."""
        data = "" if self.data_root else "phantom"
        return self.study or "-".join(filter(None, (self.paper, self.dataset, data, self.scale)))

    @property
    def changes(self) -> dict[str, Any]:
        """Values of ``Config.training`` that the command line gives."""
        start_from = str(self.start_from.expanduser().resolve()) if self.start_from else None
        given = {"epochs": self.epochs, "start_from": start_from}
        return {name: value for name, value in given.items() if value is not None}


@app.command(help=__doc__)
@with_options(ReproduceOptions)
def command(options: ReproduceOptions) -> None:
    """See the module."""
    if options.split not in ("paper", "whole"):
        raise ValueError(f"--split is {options.split!r}: give paper or whole")
    place, given = home_folder(options.home), options.data_root
    scale = SCALES[options.scale] if options.scale else None
    experiment = find(options.paper, options.dataset, options.table).chosen(options.rows or [])
    root = given.expanduser().resolve() if given else _phantom(options.dataset, place, options.scale)
    experiment = _on_data(experiment, root, scale, options.split, options.changes)
    where, state = store_and_state(options.store, place, options.study_name)
    done = Reproduction(
        experiment=experiment,
        seeds=options.seeds or (scale.seeds if scale else experiment.seeds),
        study=options.study_name,
        cpus=options.cpus,
        prepared=_prepared(experiment, place / "cache", options.skip_faulty),
        store=where,
        state=state,
    )
    heading = [
        f"Command: `{shlex.join(['python', 'jobs/reproduce.py', *sys.argv[1:]])}`.",
        "" if given else "The cohort is a phantom: nothing here speaks of the paper's data. ",
        f"Scale: {to_plain(scale.limits)}, " if scale else "",
        f"{done.seeds} seeds.",
    ]
    size = "x".join(map(str, experiment.rows[0].config.dataset.size_voxels))
    for vendor, path in done.prepared.items():
        StudyFolder(done.state).remember({"cohort": path.name}, "-".join(filter(None, ("cohort", vendor, size))))
    _reproduce(done, place / "published" / f"{done.study}-table-{experiment.table}.md", heading)


def _reproduce(done: Reproduction, out: Path, heading: list[str]) -> None:
    results, experiment = Store(done.store), done.experiment
    if done.study not in results.studies()["study"].to_pylist():
        dataset = experiment.rows[0].config.dataset
        results.writer(done.study).study(StudyRecord(study=done.study, dataset=dataset.name, release=dataset.release))
    done.run(say=print)
    found = findings(done)
    if found.cells:
        results.writer(done.study).figures(records(found, done.study))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text := markdown(found, heading), encoding="utf-8")
    print(f"\n{text}\ntable:   {out}\nresults: {done.store}, study {done.study}")
    if any(outcome.state != "COMPLETE" for outcome in done.outcomes.values()):
        raise SystemExit(1)


def _phantom(dataset: str, home: Path, scale: str) -> Path:
    from branchpoint.phantoms import make_phantom

    settings = SCALES[scale].phantom[dataset]
    release = {"release": "2021"} if dataset == "hecktor" else {}
    return make_phantom(dataset, home / "phantom" / f"{dataset}-{scale}", **settings, **release)


def _on_data(
    experiment: Experiment, root: Path, scale: Trial | None, split: str, changes: dict[str, Any]
) -> Experiment:
    """Rows with the folder of the data, within the limits of the scale, and with what the command line changes."""
    rows = []
    limits = scale.limits if scale else None
    if limits and any(row.config.network.encoder == "inception_v3" for row in experiment.rows):
        limits = replace(limits, edge=max(limits.edge, INCEPTION_EDGE))
    for row in experiment.rows:
        config = limits.of(row.config) if limits else row.config
        config = replace(
            config, dataset=replace(config.dataset, root=str(root)), training=replace(config.training, **changes)
        )
        if split == "whole":
            config = replace(config, split=without_leaks(config.split))
        rows.append(replace(row, config=config))
    return replace(experiment, rows=tuple(rows))


def _prepared(experiment: Experiment, cache: Path, skip_faulty: bool) -> dict[str, Path]:
    """Release (vendor) of the rows' datasets to the manifest of its prepared cohort."""
    datasets: dict[str, DatasetConfig] = {row.config.dataset.release: row.config.dataset for row in experiment.rows}
    folds = experiment.rows[0].config.split.folds
    return {release: prepared_cohort(dataset, folds, cache, skip_faulty)[0] for release, dataset in datasets.items()}


def main() -> None:
    """Run the command of this process."""
    run_command(app)
