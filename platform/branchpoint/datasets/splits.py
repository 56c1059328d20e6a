"""Event-stratified cross-validation: k folds, and the remainder divided into training and validation.

After Andrearczyk et al. (2021), section 2.6.

Who falls where depends on the patients' identifiers, their strata and the seed alone: not on the order of the cohort,
nor on the tasks of a trial, so that all candidates of a study are compared on the same folds. Samples of one group
(slices of a volume, frames of a video, pictures of a patient) always fall together.

Some data come with fixed parts instead (:attr:`branchpoint.datasets.cohort.Cohort.splits`): those of the challenge, or
those of a paper, even where these put one volume's slices into training and test.
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
    """Positions in the cohort, int64, sorted, disjoint; together they are all patients, those of fixed parts, or less
    where a share of the training samples is used. A refit has no validation, and a test of fixed parts alone."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(prepared: PreparedCohort, config: SplitConfig) -> Split:
    """Fold ``config.fold`` of the cohort, its centre of that number, or the fixed parts that ``config.scheme`` names.

    Folds are stratified by :func:`strata`; where these are all alike, groups are by their centre (an OCT's vendor).

    Raises:
        ValueError: too few patients or groups, or the cohort has no such fixed parts, or not as many centres as folds.
    """
    schemes = {"cross_validation": _folds, "centres": center_split}
    parts = schemes.get(config.scheme, fixed_split)(prepared, config)
    if config.refit:
        return _joined(parts, everybody=config.scheme in schemes, count=len(prepared.patient_ids))
    if config.training_fraction == 1:
        return parts
    kept = max(1, round(config.training_fraction * len(parts.train)))
    drawn = _shuffled(
        prepared.patient_ids,
        np.isin(np.arange(len(prepared.patient_ids)), parts.train),
        f"{config.seed}/training/{config.fold}",
    )
    return Split(np.sort(drawn[:kept]), parts.validation, parts.test)


def _joined(parts: Split, *, everybody: bool, count: int) -> Split:
    """Training and validation samples as one; ``everybody``: all ``count`` samples, as no test part is fixed."""
    nobody = np.array([], np.int64)
    if everybody:
        return Split(np.arange(count), nobody, nobody)
    return Split(np.sort(np.concatenate([parts.train, parts.validation])), nobody, parts.test)


def _folds(prepared: PreparedCohort, config: SplitConfig) -> Split:
    found = strata(prepared)
    if any(group is not None for group in prepared.groups) and len(np.unique(found)) == 1:
        found = np.unique([center or "" for center in prepared.centers], return_inverse=True)[1].astype(np.int64)
    return split_groups(prepared.patient_ids, prepared.groups, found, config)


def split_groups(
    patient_ids: Sequence[str], groups: Sequence[str | None], strata: np.ndarray, config: SplitConfig
) -> Split:
    """As :func:`split_patients`, of whole groups; a group's stratum is the largest number among its members.

    Args:
        patient_ids: N distinct identifiers.
        groups: N names; ``None`` for who stands alone.
        strata: (N,) integers.

    Raises:
        ValueError: identifiers repeat, or there are too few groups.
    """
    units = [patient if group is None else group for patient, group in zip(patient_ids, groups, strict=True)]
    if all(group is None for group in groups):
        return split_patients(patient_ids, strata, config)
    names, unit_of = np.unique(units, return_inverse=True)
    highest = np.full(len(names), np.iinfo(np.int64).min)
    np.maximum.at(highest, unit_of, strata)
    parts = split_patients([str(name) for name in names], highest, config)
    return Split(*(np.flatnonzero(np.isin(unit_of, part)) for part in (parts.train, parts.validation, parts.test)))


def fixed_split(prepared: PreparedCohort, config: SplitConfig) -> Split:
    """The parts that came with the data; ``validation_fraction`` of the training groups where there is no validation.

    Raises:
        ValueError: the cohort has no such parts, or one of them is empty.
    """
    parts = prepared.splits.get(config.scheme)
    if parts is None:
        known = ", ".join(prepared.splits) or "none"
        raise ValueError(
            f"split.scheme is {config.scheme!r}: cohort {prepared.name!r} comes with the splits: {known}; "
            "use cross_validation"
        )
    found = np.array([parts.get(patient, "") for patient in prepared.patient_ids])
    train, validation, test = (np.flatnonzero(found == part) for part in ("train", "validation", "test"))
    for name, rows in (("train", train), ("test", test)):
        if not len(rows):
            raise ValueError(
                f"the {config.scheme} split of cohort {prepared.name!r} has no {name} samples here; get "
                "the whole release, or use split.scheme cross_validation"
            )
    if not len(validation):
        train, validation = _without_validation(prepared, train, config)
    return Split(train, validation, test)


def center_split(prepared: PreparedCohort, config: SplitConfig) -> Split:
    """Tests on every patient of centre number ``config.fold`` (in alphabetical order), and learns from all others.

    Patients of no known centre are never tested. Samples of a group that also has samples in the test centre are left
    out. Validation patients are drawn from all training centres.

    Raises:
        ValueError: the cohort has not as many centres as ``config.folds``, or fewer than 2.
    """
    names = sorted({center for center in prepared.centers if center})
    if len(names) < 2 or config.folds != len(names):
        listed = f"the {len(names)} centres {', '.join(names)}" if names else "no centres"
        use = f"set split.folds to {len(names)}" if len(names) > 1 else "use split.scheme cross_validation"
        raise ValueError(
            f"split.scheme is 'centres' with split.folds {config.folds}: cohort {prepared.name!r} names {listed}; {use}"
        )
    in_test = np.array([center == names[config.fold] for center in prepared.centers])
    tested = {group for group, chosen in zip(prepared.groups, in_test, strict=True) if chosen and group is not None}
    shared = np.array([group in tested for group in prepared.groups])
    train, validation = _without_validation(prepared, np.flatnonzero(~in_test & ~shared), config)
    return Split(train, validation, np.flatnonzero(in_test))


def _without_validation(
    prepared: PreparedCohort, train: np.ndarray, config: SplitConfig
) -> tuple[np.ndarray, np.ndarray]:
    """``train`` without, and only, ``validation_fraction`` of its groups."""
    ids, groups = ([values[row] for row in train] for values in (prepared.patient_ids, prepared.groups))
    units = np.array([name if group is None else group for name, group in zip(ids, groups, strict=True)])
    names, first = np.unique(units, return_index=True)
    nobody = np.zeros(len(names), bool)
    chosen = _validation([str(name) for name in names], strata(prepared)[train][first], nobody, config)
    in_validation = np.isin(units, names[chosen])
    return train[~in_validation], train[in_validation]


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
        raise ValueError(
            f"{len(patient_ids)} patients cannot be split into {config.folds} folds with training and "
            "validation patients left; use fewer folds"
        )
    dealt = np.concatenate(
        [_shuffled(patient_ids, strata == stratum, f"{config.seed}/test") for stratum in np.unique(strata)]
    )
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
