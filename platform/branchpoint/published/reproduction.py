"""Trains the rows of a published experiment, one run for each row, seed and fold, and evaluates what came out.

Runs are those of any study: rows of the store, checkpoints, and states that say how they ended. Started again after a
kill, finished runs stay and an interrupted one goes on from its last checkpoint. Equal Configs of several tables are
one run, as all tables of a paper on one dataset share a study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from branchpoint.config import Config, MultilabelConfig
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from branchpoint.evaluation.evaluation import pool
from branchpoint.execution.attempt import execute
from branchpoint.execution.run_spec import Outcome, RunSpec, Setup
from branchpoint.published.experiment import Experiment, Part, Row
from branchpoint.tasks.base import Summary

HEAVIEST = 100.0
"""Limit of a label's weight, for labels that are almost never there."""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """An experiment on a prepared cohort.

    Attributes:
        experiment: its rows have the folder of the data and, where wanted, a smaller scale.
        seeds: runs of each row, from seed 0.
        prepared: release (vendor) of the rows' datasets to the manifest of its prepared cohort.
        study: name in the store.
        store: URI.
        state: folder for locks, checkpoints and kept networks.
        cpus: threads of a run on the CPU.
    """

    experiment: Experiment
    seeds: int
    prepared: Mapping[str, Path]
    study: str
    store: str
    state: Path
    cpus: int = 1
    outcomes: dict[str, Outcome] = field(default_factory=dict, compare=False)

    def run(self, say: Callable[[str], None]) -> None:
        """Train what is not trained yet; a row whose run failed stays without figures, and ``say`` hears why."""
        specs = [(row, spec) for row in self.experiment.rows for spec in self.specs(row).values()]
        for number, (row, spec) in enumerate(specs, 1):
            known = execute(spec, self.setup(row), lambda epoch, value: None)
            self.outcomes[spec.name] = known
            reason = f": {known.reason}" if known.reason else ""
            fold = f"fold {spec.config.split.fold + 1} of {len(row.config.split.rounds)}"
            title = f"{row.label}, seed {spec.config.seed}, {fold}"
            say(f"[{number}/{len(specs)}] {title}: {known.state.lower()}{reason} (run {spec.name})")

    def setup(self, row: Row) -> Setup:
        """What the runs of a row share."""
        return Setup(
            study=self.study,
            store=self.store,
            folder=self.state,
            cpus=self.cpus,
            keep_network=True,
            prepared=self.prepared[row.config.dataset.release],
        )

    def specs(self, row: Row) -> dict[tuple[int, int], RunSpec]:
        """(seed, fold) to run."""
        found = {}
        for seed in range(self.seeds):
            for fold in row.config.split.rounds:
                config = replace(row.config, seed=seed, split=replace(row.config.split, fold=fold))
                if self.experiment.weigh_labels:
                    config = with_label_weights(config, self.cohorts[config.dataset.release])
                name = f"{row.config.candidate}-seed{seed}-fold{fold}"
                found[seed, fold] = RunSpec(name, config, stage="final")
        return found

    @cached_property
    def cohorts(self) -> dict[str, PreparedCohort]:
        """Release to its cohort."""
        return {release: PreparedCohort.open(path) for release, path in self.prepared.items()}

    def failed_seeds(self, row: Row) -> tuple[int, ...]:
        """Seeds of which a fold did not complete: they have no figures."""
        specs = self.specs(row).items()
        return tuple(sorted({seed for (seed, _), spec in specs if self.outcomes[spec.name].state != "COMPLETE"}))

    def summaries(self, row: Row, part: Part) -> dict[int, dict[str, Summary]]:
        """Seed to task to the summary of all folds, of seeds whose every fold completed."""
        from branchpoint.execution.held_out import evaluate_run

        specs, setup, failed = self.specs(row), self.setup(row), self.failed_seeds(row)
        found = {}
        for seed in [seed for seed in range(self.seeds) if seed not in failed]:
            done = [evaluate_run(spec, setup, part) for (number, _), spec in specs.items() if number == seed]
            found[seed] = {task: pool([fold[task] for fold in done]) for task in done[0]}
        return found


def with_label_weights(config: Config, prepared: PreparedCohort) -> Config:
    """``config`` whose multilabel tasks weigh a label that is there by negatives / positives of the training part."""
    train = split(prepared, config.split).train
    tasks = []
    for task in config.tasks:
        if isinstance(task, MultilabelConfig):
            rows = train[prepared.labelled[task.target][train]]
            values = prepared.labels[task.target][rows]
            there = np.eye(task.labels)[values.astype(int)] if values.ndim == 1 else values > 0.5
            positive = there.sum(0)
            weights = np.clip((len(rows) - positive) / np.maximum(positive, 1), 1 / HEAVIEST, HEAVIEST)
            task = replace(task, positive_weights=tuple(round(float(weight), 6) for weight in weights))
        tasks.append(task)
    return replace(config, tasks=tuple(tasks))
