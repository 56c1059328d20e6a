"""A prepared cohort as a Config sees it: with the clinical values and the centres that its tasks ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from branchpoint.config import Config
from branchpoint.datasets.batch import Batch
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import Split
from branchpoint.training.batches import clinical_values as clinical
from branchpoint.training.batches.margins import training_loader


class Samples:
    """N samples; everything that is not named here is the prepared cohort's own.

    Attributes:
        clinical: float (N, F), the covariates ``config.network.clinical``, NaN where missing; batches have their rows
            as ``inputs["clinical"]``.
        labels: target to values; of a domain task int64 (N,), the number of the centre, 0 where it is none of the
            Config's.
        labelled: target to bool (N,).
    """

    def __init__(self, config: Config, prepared: Any) -> None:
        """
        Raises:
            ValueError: no patient has a value of a covariate that is asked for.
        """
        self._prepared = prepared
        names = config.network.clinical
        self.clinical = clinical.matrix(prepared.covariates, names) if names else np.zeros((len(prepared), 0))
        self._require_values(names)
        self.labels: Mapping[str, np.ndarray] = dict(prepared.labels)
        self.labelled: Mapping[str, np.ndarray] = dict(prepared.labelled)
        self._domains = [task.target for task in config.tasks if task.centers]
        for task in config.tasks:
            if task.centers:
                place = {name: number for number, name in enumerate(task.centers)}
                self.labels[task.target] = np.array([place.get(center, 0) for center in prepared.centers], np.int64)
                self.labelled[task.target] = np.array([center in place for center in prepared.centers])

    @classmethod
    def of(cls, config: Config, prepared: Any) -> Any:
        """``prepared`` itself, where ``config`` asks for nothing more, or it is no cohort but brings its own inputs."""
        asks = config.network.clinical or any(task.centers for task in config.tasks)
        ready = isinstance(prepared, cls) or not hasattr(prepared, "covariates")
        return cls(config, prepared) if asks and not ready else prepared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prepared, name)

    def __len__(self) -> int:
        return len(self._prepared)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The samples at ``indices`` on the CPU."""
        return self._completed(self._prepared.batch(indices), indices)

    def training_batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The samples at ``indices`` on the CPU, with the margins that the cohort keeps."""
        return self._completed(training_loader(self._prepared)(indices), indices)

    def _completed(self, batch: Batch, indices: Sequence[int] | np.ndarray) -> Batch:
        rows = np.asarray(indices)
        inputs = {**batch.inputs, "clinical": torch.from_numpy(self.clinical[rows]).float()}
        known = {name: torch.from_numpy(self.labelled[name][rows]) for name in self._domains}
        centers = {name: torch.from_numpy(self.labels[name][rows]) for name in self._domains}
        return replace(batch, inputs=inputs, targets={**batch.targets, **centers}, labelled={**batch.labelled, **known})

    def _require_values(self, names: Sequence[str]) -> None:
        for place, name in enumerate(names):
            if not np.isnan(self.clinical[:, place]).all():
                continue
            held = {str(patient.get(name)) for patient in self.covariates if patient.get(name) is not None}
            known = sorted({key for patient in self.covariates for key in patient})
            found = f"holds {', '.join(sorted(held)[:5])}, which are no numbers" if held else "has no value of it"
            raise ValueError(
                f"network.clinical: {name!r}: cohort {self.name!r} {found}; it records "
                f"{', '.join(known) or 'no covariates'}"
            )


def clinical_notes(names: Sequence[str], values: np.ndarray, train: np.ndarray) -> tuple[str, ...]:
    """What is missing of the clinical values (N, F) of the training patients at ``train``, in words."""
    if not names:
        return ()
    lacking = np.isnan(values[train]).sum(0)
    parts = [
        f"{name} ({count} of {len(train)} training patients lack it)" if count else name
        for name, count in zip(names, lacking, strict=True)
    ]
    handled = "; a missing value is the training mean, and marked as missing" if lacking.any() else ""
    return (f"clinical values: {', '.join(parts)}{handled}",)


def check_labels(config: Config, prepared: PreparedCohort, folds: Split) -> None:
    """Raises ValueError where a task has no target in the cohort, or a trained one nothing to learn from."""
    for task in config.tasks:
        kind = prepared.targets.get(task.target)
        if task.target_kinds and kind not in task.target_kinds:
            raise ValueError(
                f"tasks.{task.name}.target is {task.target!r}: cohort {prepared.name!r} has no "
                f"{' or '.join(task.target_kinds)} target of that name; it has "
                f"{', '.join(f'{name} ({kind})' for name, kind in prepared.targets.items())}"
            )
        if task.centers and len(_known(prepared, task.target, folds.train)) < 2:
            raise ValueError(
                f"tasks.{task.name}.domains are {', '.join(task.centers)}: fewer than two of them are "
                "among the training patients' centres; there is nothing to tell apart"
            )
        if task.target_kinds and task.weight > 0 and not prepared.labelled[task.target][folds.train].any():
            raise ValueError(
                f"task {task.name!r} has no labelled patient among the {len(folds.train)} of the training "
                "split; set its weight to 0 or take it out"
            )
    if config.split.refit:
        return
    trained = [task for task in config.tasks if task.weight > 0]
    labelled = [prepared.labelled[task.target][folds.validation] for task in trained if task.target_kinds]
    if labelled and not any(rows.any() for rows in labelled):
        raise ValueError(
            f"no patient of the validation split ({len(folds.validation)}) has a label of a trained task: "
            "the best epoch cannot be told; raise split.validation_fraction"
        )


def _known(prepared: PreparedCohort, target: str, rows: np.ndarray) -> np.ndarray:
    """Different labels of a target among ``rows``."""
    return np.unique(prepared.labels[target][rows][prepared.labelled[target][rows]])
