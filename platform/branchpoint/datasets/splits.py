"""Event-stratified cross-validation (paper 003, 2.6): k folds, and the remainder divided into training and validation.

Who falls where depends on the patients' identifiers, their strata and the seed alone: not on the order of the cohort,
nor on the tasks of a trial, so that all candidates of a study are compared on the same folds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from branchpoint.config import SplitConfig
from branchpoint.datasets.prepared import PreparedCohort

UNLABELLED = -1


@dataclass(frozen=True)
class Split:
    """Positions in the cohort, int64, sorted, disjoint; together they are all patients."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(prepared: PreparedCohort, config: SplitConfig) -> Split:
    """Fold ``config.fold`` of the cohort, stratified by :func:`strata`."""
    return split_patients(prepared.patient_ids, strata(prepared), config)


def strata(prepared: PreparedCohort) -> np.ndarray:
    """int64 (N,): event 0/1 of the first survival target that has events, else the first target's class, else 0.

    Patients without that label are a stratum of their own, -1.
    """
    for target, kind in prepared.targets.items():
        if kind == "survival" and prepared.labels[target][prepared.labelled[target], 1].any():
            return np.where(prepared.labelled[target], prepared.labels[target][:, 1], UNLABELLED).astype(np.int64)
    for target, kind in prepared.targets.items():
        if kind == "classification" and prepared.labelled[target].any():
            return np.where(prepared.labelled[target], prepared.labels[target], UNLABELLED).astype(np.int64)
    return np.zeros(len(prepared.patient_ids), np.int64)


def split_patients(patient_ids: Sequence[str], strata: np.ndarray, config: SplitConfig) -> Split:
    """Fold ``config.fold``: the strata's shares in the folds, and the folds' sizes, differ by at most one patient.

    Args:
        patient_ids: N distinct identifiers.
        strata: (N,) integers.

    Raises:
        ValueError: identifiers repeat, or there are too few patients.
    """
    name, count = Counter(patient_ids).most_common(1)[0] if patient_ids else ("", 0)
    if count > 1:
        raise ValueError(f"patient {name!r} occurs {count} times; identifiers must be distinct to be split")
    if len(patient_ids) < config.folds + 1:
        raise ValueError(f"{len(patient_ids)} patients cannot be split into {config.folds} folds with training and "
                         "validation patients left; use fewer folds")  # fmt: skip
    dealt = np.concatenate([_shuffled(patient_ids, strata == stratum, f"{config.seed}/test")
                            for stratum in np.unique(strata)])  # fmt: skip
    in_test = np.zeros(len(patient_ids), bool)
    in_test[dealt[config.fold :: config.folds]] = True
    in_validation = _validation(patient_ids, np.where(in_test, strata.min() - 1, strata), in_test, config)
    return Split(*(np.flatnonzero(part) for part in (~in_test & ~in_validation, in_validation, in_test)))


def _validation(patient_ids: Sequence[str], strata: np.ndarray, in_test: np.ndarray, config: SplitConfig) -> np.ndarray:
    """bool (N,): ``validation_fraction`` of each stratum; at least one, where the stratum has two or more."""
    chosen = np.zeros(len(patient_ids), bool)
    share = config.validation_fraction
    seen = taken = 0
    for stratum in np.unique(strata[~in_test]):
        members = _shuffled(patient_ids, strata == stratum, f"{config.seed}/validation/{config.fold}")
        seen += len(members)
        # Rounding the running total, not each stratum, keeps the whole at its share.
        count = round(seen * share) - taken
        if len(members) >= 2:
            count = min(max(count, 1), len(members) - 1)
        taken += count
        chosen[members[:count]] = True
    return chosen


def _shuffled(patient_ids: Sequence[str], members: np.ndarray, salt: str) -> np.ndarray:
    """Positions of ``members`` in an order that follows from their identifiers and the salt."""

    def key(position: int) -> bytes:
        return hashlib.sha256(f"{salt}/{patient_ids[position]}".encode()).digest()

    return np.array(sorted(np.flatnonzero(members).tolist(), key=key), np.int64)
