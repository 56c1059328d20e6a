"""Answer one question about a study on pictures without a search: equal networks and budgets, several seeds, all folds.

``--question tasks``: is a task learned better together with the others than alone?
``--question hog``: does learning HOG beside the mask help, and does it help more than learning zeros of the same size?

Every picture is tested by networks that have not seen it; the epoch is chosen on validation pictures. Figures are means
over seeds, intervals and paired tests a bootstrap over seeds and pictures; trivial references stand beside them.
Started again after a kill, the same command goes on where it was.
"""

from __future__ import annotations

import importlib
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from branchpoint.commands.cohort import phantom_root, prepared_cohort
from branchpoint.commands.job import Job, Scale, base_config
from branchpoint.commands.options import HomeOption, SkipFaultyOption, with_options
from branchpoint.commands.running import run_command
from branchpoint.commands.search_options import edges
from branchpoint.config import AnyTaskConfig, Config, HogConfig
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from branchpoint.evaluation.bootstrap import Interval, intervals
from branchpoint.evaluation.measurements import measure
from branchpoint.evaluation.references import pool_references, references
from branchpoint.execution.state import StudyFolder, home_folder
from branchpoint.published.experiment import Column, Experiment, Row
from branchpoint.published.reproduction import Reproduction
from branchpoint.published.table import Findings, findings, records, seeds_text
from branchpoint.search.space.parts import main_tasks
from branchpoint.store import Store, StudyRecord
from branchpoint.tasks import build_task

TOGETHER, ALONE = "all tasks together", "{} alone"
WITHOUT, WITH, CONTROL = "without auxiliary task", "with HOG", "with zeros of the same size"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Options of ``jobs/compare.py``."""

    study: Annotated[str, typer.Option(help="Job of pictures: ph2, busi, origa, isic2017, ...")]
    question: Annotated[str, typer.Option(help="tasks or hog.")]
    data_root: Annotated[Path | None, typer.Option(help="Folder of the release; else a phantom.")] = None
    scale: Annotated[str, typer.Option(help="A scale of the job.")] = "demo"
    size: Annotated[str | None, typer.Option(help="Pixels along each edge, or along both: 270x480.")] = None
    folds: Annotated[int | None, typer.Option(help="Folds of the cross-validation.")] = None
    epochs: Annotated[int | None, typer.Option(help="Epochs of a run.")] = None
    batch_size: Annotated[int | None, typer.Option(help="Samples of a training step.")] = None
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each row and fold.")] = 3
    only: Annotated[list[str] | None, typer.Option(help="Only these rows; may be repeated.")] = None
    home: HomeOption = None
    skip_faulty: SkipFaultyOption = False

    def sized(self, job: Job) -> Scale:
        """The scale that is asked for, with the values that the command line gives."""
        given = {
            "size": edges(self.size) if self.size else None,
            "folds": self.folds,
            "final_epochs": self.epochs,
            "batch_size": self.batch_size,
        }
        return job.scale(self.scale, {name: value for name, value in given.items() if value is not None})


@app.command(help=__doc__)
@with_options(CompareOptions)
def command(options: CompareOptions) -> None:
    """See the module."""
    done, base = _planned(options)
    with StudyFolder(done.state).lock():
        manifest = done.prepared[base.dataset.release]
        StudyFolder(done.state).remember({"cohort": manifest.name}, "cohort")
        results = Store(done.store)
        if done.study not in results.studies()["study"].to_pylist():
            dataset = base.dataset
            results.writer(done.study).study(
                StudyRecord(study=done.study, dataset=dataset.name, release=dataset.release, config=base.to_json())
            )
        done.run(say=print)
        found = findings(done)
        results.writer(done.study).figures(records(found, done.study))
    print(markdown(found, base, PreparedCohort.open(manifest)))


def _planned(options: CompareOptions) -> tuple[Reproduction, Config]:
    """The runs that answer the question, on a prepared cohort, and their base."""
    named: Job = importlib.import_module(f"nas_{options.study}").JOB
    job = named.at(options.data_root, named.release)
    sized, place = options.sized(job), home_folder(options.home)
    given = options.data_root
    root = given.expanduser().resolve() if given else phantom_root(job, sized, place, job.release, 0)
    base = base_config(job, replace(sized, epochs=sized.final_epochs), root, release=job.release)
    manifest, _ = prepared_cohort(base.dataset, sized.folds, place / "cache", options.skip_faulty)
    study = f"{options.study}-{options.question}"
    done = Reproduction(
        experiment=experiment_of(job, base, options.question).chosen(options.only or []),
        seeds=options.seeds,
        prepared={job.release: manifest},
        study=study,
        store=str(place / "results"),
        state=place / "results" / ".state" / study,
    )
    return done, base


def experiment_of(job: Job, base: Config, question: str) -> Experiment:
    """The rows that answer ``question``, each with the base's network and budget.

    Raises:
        ValueError: there is no such question, or the study has no tasks that it can be asked of.
    """
    if question == "tasks":
        asked = main_tasks(base.tasks)
        configs = {TOGETHER: _learning(base, asked)} | {
            ALONE.format(task.name): _learning(base, [task]) for task in asked
        }
        compared = tuple((TOGETHER, ALONE.format(task.name)) for task in asked)
        if len(asked) < 2:
            raise ValueError(f"--question tasks: {job.dataset} has one task, {asked[0].name}; ask hog")
    elif question == "hog":
        asked = [task for task in base.tasks if task.kind == "segmentation"][:1]
        hog, zeros = HogConfig(name="hog"), HogConfig(name="hog", zero_target=True)
        configs = {
            WITHOUT: _learning(base, asked),
            WITH: _learning(base, [*asked, hog]),
            CONTROL: _learning(base, [*asked, zeros]),
        }
        compared = ((WITH, WITHOUT), (CONTROL, WITHOUT), (WITH, CONTROL))
    else:
        raise ValueError(f"--question is {question!r}: ask tasks or hog")
    rows = tuple(Row(name=label, config=config) for label, config in configs.items())
    columns = tuple(Column(f"{task.name}, {metric}", task.name, metric) for task in asked for metric in _metrics(task))
    return Experiment(
        paper="", dataset=job.dataset, table=question, title="", columns=columns, rows=rows, compared=compared
    )


def _learning(base: Config, tasks: Sequence[AnyTaskConfig]) -> Config:
    """The base's network for ``tasks`` alone, every stage shared, HOG by a light unit on the bottleneck (paper 002)."""
    described = [task.name for task in tasks if task.describes_image]
    units: tuple[tuple[str, Literal["light"]], ...] = tuple((name, "light") for name in described)
    return replace(base, tasks=tuple(tasks), network=replace(base.network, regression_units=units))


def _metrics(task: AnyTaskConfig) -> tuple[str, ...]:
    """The primary metric, and what else is read beside it."""
    further = {"classification": ("auc",), "ordinal": ("balanced_accuracy",), "regression": ("mae",)}
    return (build_task(task).primary_metric, *further.get(task.kind, ()))


def markdown(found: Findings, base: Config, prepared: PreparedCohort) -> str:
    """Figures, trivial references on the same pictures, and the paired tests."""
    columns = found.experiment.columns
    lines = [
        f"`{shlex.join(['python', 'jobs/compare.py', *sys.argv[1:]])}`",
        "",
        "| | seeds | " + " | ".join(column.title for column in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for row in found.experiment.rows:
        cells = {cell.column.title: _text(cell.here) for cell in found.cells if cell.row.label == row.label}
        shown = " | ".join(cells.get(column.title, "") for column in columns)
        lines.append(f"| {row.label} | {seeds_text(found, row)} | {shown} |")
    for label, values in _references(base, prepared, [(column.task, column.metric) for column in columns]).items():
        lines.append(f"| {label} | | " + " | ".join(values) + " |")
    lines += ["", "| difference | figure | value | p | p (Holm) |", "|---|---|---|---|---|"]
    lines += [
        f"| {test.first.label} minus {test.second.label} | {test.column.title} | {_text(test.here)} | "
        f"{test.here.p:.3f} | {test.p_adjusted:.3f} |"
        for test in found.tests
    ]
    drawn = "; ".join(dict.fromkeys(cell.here.resampled for cell in found.cells))
    n = max(cell.here.n for cell in found.cells)
    return "\n".join([*lines, "", f"n = {n} of {len(prepared.patient_ids)}. Resampled for the intervals: {drawn}."])


def _references(base: Config, prepared: PreparedCohort, wanted: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Label to the text of each wanted (task, metric), empty where a reference has none."""
    tasks = {task.name: build_task(task) for task in base.tasks}
    measured, folds = measure(prepared), []
    for fold in base.split.rounds:
        parts = split(prepared, replace(base.split, fold=fold))
        fit = np.concatenate([parts.train, parts.validation])
        folds.append(references([*tasks.values()], prepared, measured, fit, parts.test))
    rows: dict[str, list[str]] = {}
    for reference in pool_references(folds):
        values = intervals(tasks[reference.task], reference.summary, groups=prepared.groups)
        row = rows.setdefault(reference.label, [""] * len(wanted))
        for place, (task, metric) in enumerate(wanted):
            if task == reference.task and metric in values:
                row[place] = _text(values[metric])
    return {label: row for label, row in rows.items() if any(row)}


def _text(found: Interval) -> str:
    return "undefined" if math.isnan(found.value) else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    """Run the command of this process."""
    run_command(app)
