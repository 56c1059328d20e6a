"""A finished study: its recommended Config, the runs of it that kept their networks, and their cohort."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.config import Config
from branchpoint.datasets.pipeline import checked_cohort
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from branchpoint.execution.held_out import Summaries, evaluate_run
from branchpoint.execution.recommendation import final_runs, recommended
from branchpoint.execution.run_spec import RunSpec, Setup
from branchpoint.execution.state import home_folder, store_and_state
from branchpoint.store import Store


@dataclass(frozen=True, kw_only=True)
class FinishedStudy:
    """What a study ended with.

    Attributes:
        name: of the study.
        store: results store.
        config: the recommended Config, fold 0.
        base: the Config that the search varied; the recommended one where there was no search.
        label: of the recommended Config's figures.
        faulty: patients that were left out because of errors in their files.
        searched: whether a search chose the Config.
        runs: the runs of the recommended Config with all folds complete, by seed and then by fold.
        home: folder with the cache.
    """

    name: str
    store: Store
    config: Config
    base: Config
    label: str
    faulty: tuple[str, ...]
    searched: bool
    runs: tuple[tuple[RunSpec, ...], ...]
    home: Path

    @classmethod
    def open(cls, store: Store, name: str, *, home: Path | None = None, data_root: Path | None = None) -> FinishedStudy:
        """What ``store`` holds of the study ``name``.

        Args:
            home: folder with the cache; see :func:`branchpoint.execution.state.home_folder`.
            data_root: folder of the release, where it lies elsewhere now.

        Raises:
            ValueError: there is no such study, or it has no test figures of one best candidate yet.
        """
        about = next((row for row in store.studies().to_pylist() if row["study"] == name), None)
        if about is None:
            raise ValueError(f"no study {name!r} in {store.uri}")
        label, candidate = recommended(store, name)
        specs = [
            RunSpec(row["trial"], _moved(Config.from_json(row["config"]), data_root), stage="final")
            for row in final_runs(store, name, candidate, columns=["config"])
            if row["state"] == "COMPLETE"
        ]
        if not specs:
            raise ValueError(f"study {name!r}: no complete final run of candidate {candidate} is in {store.uri}")
        config = replace(specs[0].config, split=replace(specs[0].config.split, fold=0))
        base = json.loads(about["config"] or "{}")
        return cls(
            name=name,
            store=store,
            config=config,
            base=_moved(Config.from_json(about["config"]), data_root) if base else config,
            label=label,
            faulty=tuple(about["excluded"] or ()),
            searched="search" in store.trials(name, columns=["stage"])["stage"].to_pylist(),
            runs=_by_seed(specs),
            home=home_folder(home),
        )

    @property
    def folds(self) -> list[int]:
        """The folds of :attr:`runs`, those that were tested."""
        return [spec.config.split.fold for spec in self.runs[0]]

    def chose_candidates(self, prepared: Any) -> np.ndarray:
        """Positions of the patients whose labels chose the candidates of a search: they are in no test figure."""
        return split(prepared, self.base.split).validation if self.searched else np.array([], dtype=np.int64)

    def prepare_cohort(self) -> PreparedCohort:
        """The study's cohort, checked and prepared as the study did, without the patients whom it left out as faulty.

        Raises:
            ValueError: the data are gone or have errors that they had not.
        """
        dataset, folds = self.config.dataset, self.config.split.folds
        return checked_cohort(dataset, self.home / "cache", folds=folds, without_faulty=bool(self.faulty))[0]

    def setup(self, prepared: Path) -> Setup:
        """To evaluate the runs on the cohort ``prepared``.

        Raises:
            ValueError: the networks were not kept, or lie on another machine.
        """
        where, state = store_and_state(self.store.uri, self.home, self.name)
        setup = Setup(study=self.name, store=where, folder=state, prepared=prepared, keep_network=True)
        missing = [spec.name for runs in self.runs for spec in runs if not setup.run_folder(spec.name).has_network]
        if missing:
            raise ValueError(f"study {self.name!r}: the networks of {', '.join(missing[:3])} are not in {state}")
        return setup

    def summaries(self, setup: Setup) -> list[list[Summaries]]:
        """Predictions for the test patients, by seed and then by fold."""
        return [[evaluate_run(spec, setup) for spec in runs] for runs in self.runs]


def _by_seed(specs: Sequence[RunSpec]) -> tuple[tuple[RunSpec, ...], ...]:
    """Runs by seed and fold, of the seeds with as many folds as any."""
    seeds: dict[int, dict[int, RunSpec]] = {}
    for spec in specs:
        seeds.setdefault(spec.config.seed, {})[spec.config.split.fold] = spec
    most = max(len(folds) for folds in seeds.values())
    return tuple(
        tuple(folds[fold] for fold in sorted(folds)) for _, folds in sorted(seeds.items()) if len(folds) == most
    )


def _moved(config: Config, data_root: Path | None) -> Config:
    if data_root is None:
        return config
    return replace(config, dataset=replace(config.dataset, root=str(data_root.expanduser().resolve())))
