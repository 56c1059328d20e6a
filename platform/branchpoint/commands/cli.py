"""The ``branchpoint`` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from branchpoint.commands.bundle import app as bundle_app
from branchpoint.commands.predict import predict

if TYPE_CHECKING:
    from branchpoint.store import Store

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, and search for, multi-task networks on medical images.",
)

published_app = typer.Typer(no_args_is_help=True, help="The experiments of the papers: jobs/reproduce.py runs them.")
app.add_typer(published_app, name="published")
app.add_typer(bundle_app, name="bundle")
app.command()(predict)

StoreOption = Annotated[str, typer.Option("--store", help="Folder or URI of the results store.")]
StudyOption = Annotated[str | None, typer.Option("--study", help="Name of the study; needed where there are several.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _study(store: Store, name: str | None) -> str:
    """``name``, or the only study there is, of a store that is there."""
    store.require()
    if name:
        return name
    known = sorted({*store.studies()["study"].to_pylist(), *store.proposals()["study"].to_pylist()})
    if len(known) == 1:
        return str(known[0])
    found = f"it holds {', '.join(known)}" if known else "it holds no study"
    raise ValueError(f"name one study of the store {store.uri} with --study: {found}")


@app.command("check-data")
def check_data(
    dataset: Annotated[str, typer.Argument(help="Dataset name, such as hecktor or sts.")],
    root: Annotated[Path, typer.Option(help="Folder of the release.")],
    release: Annotated[str, typer.Option(help="Release, where the dataset has several.")] = "2021",
    folds: Annotated[int, typer.Option(help="Folds that a training will use.")] = 5,
    as_json: JsonOption = False,
    csv: Annotated[Path | None, typer.Option(help="Write the rows to this CSV file too.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where there are warnings.")] = False,
) -> None:
    """Read every file of a cohort and print what is wrong with it. Exit code 2: errors; 1: warnings, with --strict."""
    from branchpoint.config import DatasetConfig
    from branchpoint.datasets.check import check_cohort
    from branchpoint.datasets.problems.table import print_problems, problems_to_json, write_problems_csv
    from branchpoint.datasets.readers.registry import read_cohort

    config = DatasetConfig(name=dataset, root=str(root.resolve()), release=release)
    cohort = read_cohort(config)
    problems = check_cohort(cohort, config, folds=folds, progress=not as_json)
    if csv:
        write_problems_csv(problems, csv)
    if as_json:
        print(problems_to_json(problems))
    else:
        print_problems(problems, title=f"{cohort.name} {cohort.release}: {len(cohort.patients)} patients")
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        raise typer.Exit(2)
    if problems and strict:
        raise typer.Exit(1)


@app.command("make-phantom")
def make_phantom(
    dataset: Annotated[str, typer.Argument(help="Which dataset's layout and anatomy: hecktor, isic2017, retouch, ...")],
    out: Annotated[Path, typer.Option(help="Folder to write; created.")],
    release: Annotated[str, typer.Option(help="Release whose layout is written.")] = "2021",
    patients: Annotated[int, typer.Option(min=1)] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    censoring: Annotated[float | None, typer.Option(help="Share of patients without an event; hecktor: 0.8.")] = None,
) -> None:
    """Write a synthetic cohort in a dataset's official layout, with the truth beside it."""
    from branchpoint.phantoms import make_phantom as make

    settings = {} if censoring is None else {"censoring": censoring}
    where = make(dataset, out.resolve(), release=release, patients=patients, seed=seed, **settings)
    print(f"{patients} patients in {where}")


@app.command()
def train(
    config: Annotated[Path, typer.Option(help="Config as JSON, or what `best --json` prints.")],
    workers: Annotated[int, typer.Option(min=1, help="Workers that train one network together.")] = 1,
    folds: Annotated[str, typer.Option(help="`all`, or the number of a fold; by default the Config's.")] = "",
    store: StoreOption = "",
    study: StudyOption = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the release; by default the Config's.")] = None,
    cpus_per_worker: Annotated[int, typer.Option(min=1)] = 1,
    gpus_per_worker: Annotated[float, typer.Option(help="A fraction shares a GPU.")] = 0.0,
    address: Annotated[str | None, typer.Option(help="Ray cluster; else $RAY_ADDRESS, else this machine.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for results, cache and weights.")] = None,
    cohorts: Annotated[
        str | None, typer.Option(help="Bucket (URI) that brings the prepared cohort to nodes; else Ray does.")
    ] = None,
    skip_faulty: Annotated[bool, typer.Option("--skip-faulty", help="Leave patients with errors out.")] = False,
) -> None:
    """Train one Config on one fold or all, by one worker or several; again, it goes on where it was."""
    from branchpoint.commands.train import train as run

    run(
        config,
        folds,
        store,
        study,
        data_root,
        home,
        skip_faulty,
        address,
        workers=workers,
        cpus=cpus_per_worker,
        gpus=gpus_per_worker,
        cohorts=cohorts,
    )


@app.command()
def best(
    store: StoreOption = "results",
    study: StudyOption = None,
    metric: Annotated[str, typer.Option(help="Validation metric that ranks the trials.")] = "validation/score",
    top: Annotated[int, typer.Option(min=1)] = 1,
    as_json: JsonOption = False,
) -> None:
    """Show the best configurations of a study, and the test figures of those that were retrained."""
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_best, print_test_figures
    from branchpoint.store import Store

    opened = Store(store)
    study = _study(opened, study)
    rows = opened.best(study, metric, top=top, stage="search")
    if as_json:
        print(json.dumps(rows, default=str, indent=2))
        return
    print_best(rows, metric)
    results = load_results(opened, study)
    print_test_figures([*results.pooled_test, *results.differences], results.primary_metrics)


@app.command()
def trials(store: StoreOption = "results", study: StudyOption = None, as_json: JsonOption = False) -> None:
    """List the trials of a study with state, reason and metrics."""
    from branchpoint.report.tables import print_trials
    from branchpoint.store import Store

    opened = Store(store)
    table = opened.trials(_study(opened, study))
    if as_json:
        print(json.dumps(table.to_pylist(), default=str, indent=2))
    else:
        print_trials(table)


@app.command()
def weights(
    store: StoreOption = "results",
    study: StudyOption = None,
    trial: Annotated[str | None, typer.Option(help="One run that `branchpoint trials` lists; else every one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write; one folder in it for each run.")] = Path("weights"),
) -> None:
    """Copy the weights that finalists kept, with their Configs, from the bucket or folder of a study."""
    from branchpoint.commands.weights import fetch_weights
    from branchpoint.store import Store

    opened = Store(store)
    for folder in fetch_weights(opened, _study(opened, study), trial, out.resolve()):
        print(f"weights: {folder}")


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="DuckDB SQL over studies, trials, epochs, figures, affinities, proposals.")
    ],
    store: StoreOption = "results",
    as_json: JsonOption = False,
) -> None:
    """Query the results with SQL."""
    from branchpoint.report.tables import print_table
    from branchpoint.store import Store

    table = Store(store).require().sql(query)
    if as_json:
        print(json.dumps(table.to_pylist(), default=str, indent=2))
    else:
        print_table(table)


@app.command()
def report(
    store: StoreOption = "results",
    study: StudyOption = None,
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Write the report of a study: one HTML file that needs nothing else."""
    from branchpoint.report import write_report
    from branchpoint.store import Store

    opened = Store(store)
    write_report(opened, _study(opened, study), out)
    print(f"report: {out.resolve()}")


@app.command()
def describe(
    config: Annotated[Path, typer.Option(help="Config as JSON, such as the one that `best --json` prints.")],
    svg: Annotated[Path | None, typer.Option(help="Write the drawing of the network here.")] = None,
) -> None:
    """Print a network's sharing tree, family and cost."""
    from branchpoint.config.file import read_config
    from branchpoint.report.describe import describe_config

    print(describe_config(read_config(config), svg))


@published_app.command("list")
def published_list(
    paper: Annotated[str, typer.Option(help="Only this paper: resformer, hog or hecktor.")] = "",
    long: Annotated[bool, typer.Option("--long", help="Every row, and what differs from the paper.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the tables that jobs/reproduce.py can train."""
    from branchpoint.report.published import experiments_to_json, print_experiments

    if as_json:
        print(experiments_to_json(paper))
    else:
        print_experiments(paper, long)


@app.command()
def affinity(
    config: Annotated[Path, typer.Option(help="Config as JSON: its dataset, tasks, network and budget are used.")],
    store: StoreOption = "results",
    study: Annotated[str | None, typer.Option(help="Study to file it under; else dataset and release.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder of prepared cohorts.")] = Path("cache"),
    every: Annotated[int, typer.Option(min=1, help="Steps between two measurements.")] = 10,
    budget: Annotated[float, typer.Option(help="Most MACs of a proposal, in networks that share all.")] = float("inf"),
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
) -> None:
    """Measure in one joint training which tasks help each other, and down to which stage; propose what to share."""
    from branchpoint.commands.affinity import measure_relations
    from branchpoint.config.file import read_config
    from branchpoint.report.relations import print_relations
    from branchpoint.store import Store

    chosen = read_config(config)
    name = study or "-".join(filter(None, (chosen.dataset.name, chosen.dataset.release)))
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
    print(f"in the tables affinities and proposals of {store}, study {name}; see: branchpoint report --study {name}")


@app.command()
def radiomics(
    store: StoreOption = "results",
    study: StudyOption = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the release; by default the study's.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for results, cache and weights.")] = None,
    predicted: Annotated[bool, typer.Option(help="Also inside the outlines that the study's networks draw.")] = True,
    out: Annotated[Path | None, typer.Option(help="CSV file for the 274 features of every patient.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Patients measured at the same time.")] = 1,
) -> None:
    """Compare a finished study with standard radiomics: hand-crafted features and Cox regression on the same folds."""
    from branchpoint.commands.radiomics import radiomics as run
    from branchpoint.report.folds import print_folds
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_test_figures
    from branchpoint.store import Store

    opened = Store(store)
    name = _study(opened, study)
    for line in run(opened, name, data_root=data_root, home=home, predicted=predicted, out=out, workers=workers):
        print(line)
    results = load_results(opened, name)
    metrics = [metric for metric in results.primary_metrics if metric.endswith("/c_index")]
    print_folds(results.figures, metrics)
    print_test_figures([*results.pooled_test, *results.tested_differences], metrics)


@app.command()
def pairs(
    config: Annotated[Path, typer.Option(help="Config as JSON with all tasks of the tree.")],
    store: StoreOption = "results",
    study: Annotated[str | None, typer.Option(help="Study to file it under; else dataset and release.")] = None,
    budget: Annotated[float, typer.Option(help="Most MACs of the tree, in networks that share all.")] = float("inf"),
) -> None:
    """Predict the best sharing tree from the networks of two tasks that the store holds."""
    from branchpoint.affinity.pairs import propose_from_pairs
    from branchpoint.config.file import read_config
    from branchpoint.report.relations import print_pairs
    from branchpoint.store import Store

    chosen = read_config(config)
    name = study or "-".join(filter(None, (chosen.dataset.name, chosen.dataset.release)))
    print_pairs(*propose_from_pairs(Store(store), name, chosen, budget))


def main() -> None:
    """Run the command; a mistake of the user's ends in one clear message, not in a traceback."""
    from branchpoint.datasets.problems.problem import CohortError

    try:
        app()
    except CohortError as problem:
        from branchpoint.datasets.problems.table import print_problems

        print_problems(problem.problems, title="the cohort has errors")
        sys.exit(2)
    except (ValueError, OSError, ModuleNotFoundError) as problem:
        Console(stderr=True).print(f"[red]error:[/red] {problem}", highlight=False, markup=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
