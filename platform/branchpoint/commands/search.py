"""The way of a search job: cohort, check, prepared cache, search, finals, report, table.

A job is started with ``python jobs/<job>.py``, with ``ray job submit -- python jobs/<job>.py`` or with
``ray job submit --working-dir . -- python jobs/<job>.py``; the same command continues a job that was interrupted.

Results, cache, phantom and report are written below ``--home``, else ``$BRANCHPOINT_HOME``, else the folder in which
the job was started. A job submitted with ``--working-dir`` runs in an unpacked copy that Ray deletes later, so its home
is ``~/.branchpoint``. On a cluster of several machines the home must be on a disk that all of them see. The prepared
cohort is brought, once, to nodes that do not see it. If the store is a bucket, what trials keep lies beside it, and the
home may be the driver's own disk.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import typer

from branchpoint.commands.choices import with_choices
from branchpoint.commands.cohort import known_risk, phantom_root, prepared_cohort
from branchpoint.commands.job import Job, Scale, base_config
from branchpoint.commands.options import with_options
from branchpoint.commands.references import reference_configs, training_shares
from branchpoint.commands.running import run_command
from branchpoint.commands.search_options import SearchOptions
from branchpoint.config import Config
from branchpoint.execution.halving import HalvingConfig
from branchpoint.execution.state import default_study, home_folder, store_and_state
from branchpoint.search.budget import Budget, StudyPlan
from branchpoint.search.final import Finals
from branchpoint.search.space.parts import candidates_learn
from branchpoint.search.space.prior import measured_prior
from branchpoint.search.study import Study
from branchpoint.search.suggest.feasibility import CostLimits
from branchpoint.search.suggest.samplers import check_sampler
from branchpoint.store import Store

TRIALS_IN_TIME = 1000
"""Trials at most where only the time limits them."""


def main(job: Job, help: str | None = None) -> None:
    """Run ``job`` as the command line of this process; ``help`` is the text of ``--help``."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=help)

    @app.command(help=help)
    @with_options(SearchOptions)
    def search(options: SearchOptions) -> None:
        run(job, options)

    run_command(app)


def run(job: Job, options: SearchOptions) -> None:
    """Search, train the finalists, test them once, and write the report."""
    release = job.release if options.release is None else options.release
    job = job.at(options.root, release)
    scale, home = options.scale(job), home_folder(options.home)
    root = options.root or phantom_root(job, scale, home, release, options.seed)
    base = base_config(job, scale, root, release=release, seed=options.seed, scheme=options.scheme)
    base = with_choices(replace(base, training=replace(base.training, start_from=options.weights)), options)
    references = reference_configs(job.space, base, options.references)
    check_sampler(options.sampler)
    budget = Budget.parse(options.budget)
    manifest, excluded = prepared_cohort(base.dataset, scale.folds, home / "cache", options.skip_faulty)
    plan = plan_of(scale, base, len(references), manifest, budget, options.trials)
    study = study_of(job, base, options, plan.trials, manifest, excluded)
    study = replace(study, search_epochs=plan.search, seconds=plan.seconds, later_epochs=plan.later)
    finals = Finals(
        study=study,
        epochs=scale.final_epochs,
        published=references,
        seeds=scale.seeds,
        refit=options.refit,
        known_risk=known_risk(root),
    )
    print(plan.text(), flush=True)
    with study.running() as concurrency:
        study.search(concurrency)
        candidates = study.best(scale.top)
        finals.run(candidates, concurrency)
    _show(study, home / "report.html")
    print(training_shares(Store(study.store), finals, candidates))


def plan_of(
    scale: Scale, base: Config, references: int, manifest: Path, budget: Budget, trials: int | None
) -> StudyPlan:
    """What the study will train; with a budget alone, as many trials as halving may leave of the search's part."""
    from branchpoint.datasets.prepared import PreparedCohort
    from branchpoint.datasets.splits import split

    prepared = PreparedCohort.open(manifest)
    rounds = [split(prepared, replace(base.split, fold=fold)).validation for fold in base.split.rounds]
    grace = _grace(base)
    plan = StudyPlan(
        budget=budget.epochs,
        seconds=budget.seconds,
        trials=scale.trials,
        trial_epochs=base.training.epochs,
        grace=grace,
        candidates=scale.top,
        references=references,
        runs=len(rounds) * scale.seeds,
        final_epochs=scale.final_epochs,
        compared=len(split(prepared, base.split).validation),
        compared_in_finals=len(np.unique(np.concatenate(rounds))),
    )
    if plan.search is not None and trials is None:
        return replace(plan, trials=max(scale.top, plan.search // grace))
    if plan.seconds is not None and trials is None:
        return replace(plan, trials=TRIALS_IN_TIME)
    return plan


def _grace(base: Config) -> int:
    """Epochs before which no trial is stopped."""
    return max(1, base.training.epochs // 3)


def study_of(
    job: Job, base: Config, options: SearchOptions, trials: int, manifest: Path, excluded: tuple[str, ...]
) -> Study:
    """The search of ``job`` around ``base``, on the prepared cohort of ``manifest``."""
    name = options.study or default_study(base.dataset)
    store, state = store_and_state(options.store, home_folder(options.home), name)
    fixed = candidates_learn(base.tasks)
    points = [point for point in job.space.starting_points(base) if fixed.items() <= point.items()]
    return Study(
        name=name,
        base=base,
        space=job.space.space,
        points=points,
        prior=measured_prior(Store(store), name, base, points, trials),
        fixed=fixed,
        sampler=options.sampler,
        prepared=manifest,
        cohorts=options.cohorts,
        store=store,
        state=state,
        trials=trials,
        halving=HalvingConfig(grace=_grace(base)),
        limits=CostLimits(parameters=options.max_parameters, macs=options.max_macs),
        resources=options.resources,
        keep_networks=True,
        excluded=excluded,
        address=options.address,
    )


def _show(study: Study, report: Path) -> None:
    from branchpoint.report import write_report
    from branchpoint.report.predictions import prediction_sections
    from branchpoint.report.results import load_results
    from branchpoint.report.tables import print_best, print_test_figures

    store = Store(study.store)
    predictions = prediction_sections(store, study.name, study.prepared, home=report.parent)
    path = write_report(store, study.name, report, predictions)
    results = load_results(store, study.name)
    found = store.best(study.name, study.objective, top=3, stage="search")
    print_best(found, study.objective, results.primary_metrics)
    print_test_figures([*results.pooled_test, *results.differences], results.primary_metrics)
    print(f"results: {study.store}")
    print(f"report:  {path}")
    print(f"again:   branchpoint best --store {study.store} --study {study.name}")
