"""``branchpoint train``: one Config on one fold or all, by one worker or several, with figures on the test patients.

What a study does with its finalists, for a Config that is known: the network of each fold is trained, its best epoch
chosen on the validation split, its weights kept, and its test patients looked at once, when all folds are complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.config import Config
from branchpoint.config.serialization import to_plain
from branchpoint.datasets.content import accepted_warnings
from branchpoint.evaluation.estimates import figure_records
from branchpoint.execution.attempt import execute, package_versions
from branchpoint.execution.held_out import evaluate_run, references_of_folds
from branchpoint.execution.progress import Progress
from branchpoint.execution.refit import OBJECTIVE, refit_specs
from branchpoint.execution.resources import Resources, preflight
from branchpoint.execution.run_spec import Outcome, RunSpec, Setup, known_outcomes
from branchpoint.execution.runs import NoResultError
from branchpoint.execution.state import NETWORK, StudyFolder, run_folder
from branchpoint.on_ray.cohort_server import cohort_here, cohort_source
from branchpoint.on_ray.held_out_runs import fold_references, test_summaries
from branchpoint.on_ray.session import living_nodes, session
from branchpoint.on_ray.train_workers import with_workers
from branchpoint.search.choosers import patients_who_chose
from branchpoint.store import Store, StudyRecord

LABEL = "trained"
PROTOCOL = (
    "One Config was trained on each fold; the epoch was chosen on validation patients, and each test patient was "
    "predicted, once, by a network that had not seen them. Patients whose labels chose the Config in a search of the "
    "same store are left out of the test figures."
)


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """A Config to be trained.

    Attributes:
        study: name in the store; the same name and Config go on where they were.
        config: what to train; its fold is replaced.
        folds: which.
        prepared: manifest of the prepared cohort.
        cohorts: bucket (URI) from which nodes that do not see ``prepared`` take the cohort; ``None``: from this driver.
        store: URI of the results store.
        state: folder for checkpoints and weights, seen by every worker.
        resources: workers of a run, and what each gets.
        excluded: patients left out on purpose, for the record.
        refit: train a final network on all cases, too.
        address: of the Ray cluster; see :func:`branchpoint.on_ray.session.session`.
        hooks: fields of :class:`branchpoint.execution.run_spec.Setup` to replace.
    """

    study: str
    config: Config
    folds: Sequence[int]
    prepared: Path
    cohorts: str | None = None
    store: str
    state: Path
    resources: Resources = field(default_factory=Resources)
    excluded: Sequence[str] = ()
    refit: bool = False
    address: str | None = None
    hooks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether one worker trains in this very process, without Ray."""
        cluster = self.address or os.environ.get("RAY_ADDRESS")
        return self.resources.workers == 1 and self.resources.gpus in (0, 1) and not cluster

    def specs(self) -> list[RunSpec]:
        """One run for each fold."""
        specs = []
        for fold in self.folds:
            config = replace(self.config, split=replace(self.config.split, fold=fold))
            specs.append(RunSpec(f"{config.candidate}-fold{fold}", config, stage="final"))
        return specs

    def network(self, spec: RunSpec) -> str:
        """Path or URI of the weights of a fold."""
        return str(run_folder(self.state, self.store, self.study, spec.name).place / NETWORK)

    def run(self) -> list[Outcome]:
        """Train every fold that is not complete yet, write the test figures, and refit where that is asked for.

        Raises:
            ValueError: the nodes can never hold the workers, or the Config is that of a refit; nothing has started.
            NoResultError: a run failed.
        """
        if self.config.split.refit:
            raise ValueError(
                "split.refit is true: such a run has no fold to be tested on; set it to false and use --refit"
            )
        folder = StudyFolder(self.state)
        cohort_here(self.prepared, self.cohorts)
        with folder.lock(), nullcontext() if self.alone else session(self.address):
            folder.remember(self._settings(), part="train")
            self._describe()
            outcomes = self._train(self.specs(), "fold")
            self._test()
            if self.refit:
                outcomes += self._train(self.refits(), "refit")
        return outcomes

    def refits(self) -> list[RunSpec]:
        """The run on all cases, once the folds are complete."""
        return refit_specs(self.specs(), self._setup())

    def _train(self, specs: Sequence[RunSpec], what: str) -> list[Outcome]:
        """All of ``specs``; gives how each ended, in this start or an earlier one."""
        setup = replace(self._run_setup(), objective=OBJECTIVE) if what == "refit" else self._run_setup()
        known = self._known(setup)
        waiting = [spec for spec in specs if not self._done(spec, known.get(spec.name))]
        if waiting:
            before = [known[spec.name] for spec in specs if spec not in waiting]
            folds = len(self.config.split.rounds)
            titles = {
                spec.name: "refit on all cases" if what == "refit" else f"fold {spec.config.split.fold + 1} of {folds}"
                for spec in specs
            }
            progress = Progress(what, len(specs), setup.objective, titles=titles, before=before)
            at_once = self._concurrency(progress, specs, what)
            with ThreadPoolExecutor(at_once) as threads:
                runs = {threads.submit(execute, spec, setup, lambda *_: None) for spec in waiting}
                while runs:
                    done, runs = wait(runs, timeout=1.0, return_when=FIRST_COMPLETED)
                    for run in done:
                        progress.ended(run.result())
                    progress.tick(min(len(runs), at_once))
            progress.finish()
        known = self._known(setup)
        outcomes = [known[spec.name] for spec in specs]
        failed = [outcome for outcome in outcomes if outcome.state != "COMPLETE"]
        if failed:
            reasons = "; ".join(f"{outcome.name}: {outcome.reason}" for outcome in failed)
            raise NoResultError(f"{len(failed)} of {len(outcomes)} {what}s failed: {reasons}")
        return outcomes

    def _concurrency(self, progress: Progress, specs: Sequence[RunSpec], what: str) -> int:
        """Runs at once."""
        if self.alone:
            at_once, where = 1, "in this process"
        else:
            at_once = preflight(self.resources, living_nodes())
            where = f"by {self.resources.workers} worker(s) each, {at_once} at once"
        epochs = specs[0].config.training.epochs
        progress.say(f"{len(specs)} {what}(s), {epochs} epochs, {where}; results in {self.store}")
        return at_once

    def _test(self) -> None:
        """Figures on the test patients of the trained folds, beside the trivial references.

        Patients whose labels chose the Config in a search of the same store are left out.
        """
        specs = self.specs()
        cohort = self._setup().cohort()
        chose = patients_who_chose(self.config, Store(self.store), cohort)
        for study, places in chose.items():
            print(
                f"{len(places)} patients are left out of the test figures: their labels chose this configuration in "
                f"study {study}"
            )
        if self.alone:
            summaries = [evaluate_run(spec, self._setup()) for spec in specs]
            trivial = references_of_folds(self.config, self._setup(), self.folds)
        else:
            at_once = preflight(replace(self.resources, workers=1), living_nodes())
            summaries = test_summaries(specs, self._setup(), self.resources, at_once)
            trivial = fold_references(self.config, self._setup(), self.resources, self.folds)
        records = figure_records(
            study=self.study,
            configs={LABEL: self.config},
            models={LABEL: [summaries]},
            references={},
            trivial=trivial,
            excluded=np.unique(np.concatenate([np.array([], dtype=np.int64), *chose.values()])),
            known_risk={},
            groups=cohort.groups,
        )
        Store(self.store).writer(self.study).figures(records)

    def _setup(self) -> Setup:
        return Setup(
            study=self.study,
            store=self.store,
            folder=self.state,
            prepared=self.prepared,
            cpus=self.resources.cpus,
            source=cohort_source(self.prepared, self.cohorts),
            gpus=self.resources.gpus,
            keep_network=True,
            **self.hooks,
        )

    def _run_setup(self) -> Setup:
        return self._setup() if self.alone else with_workers(self._setup(), self.resources)

    def _known(self, setup: Setup) -> dict[str, Outcome]:
        return known_outcomes(Store(self.store), self.study, setup.objective)

    def _done(self, spec: RunSpec, known: Outcome | None) -> bool:
        return known is not None and known.state == "COMPLETE" and self._setup().run_folder(spec.name).has_network

    def _settings(self) -> dict[str, Any]:
        anyfold = replace(self.config, split=replace(self.config.split, fold=0))
        return {"config": to_plain(anyfold, identity_only=True), "excluded": sorted(self.excluded)}

    def _describe(self) -> None:
        store = Store(self.store)
        if self.study in store.studies()["study"].to_pylist():
            return
        accepted = accepted_warnings(cohort_here(self.prepared, self.cohorts))
        store.writer(self.study).study(
            StudyRecord(
                study=self.study,
                dataset=self.config.dataset.name,
                release=self.config.dataset.release,
                config=self.config.to_json(),
                settings=json.dumps({**self._settings(), "protocol": PROTOCOL, "accepted": accepted}),
                excluded=sorted(self.excluded),
                versions=package_versions(),
                started=datetime.now(UTC),
            )
        )
