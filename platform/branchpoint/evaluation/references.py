"""Trivial references on the same folds as a network: what its figures must stand beside.

- segmentation: a mask without image content (the mean training mask, a centred ellipsoid);
- survival: Cox regression on age and stage or grade; on log volume and log SUVmax of the true mask; and on the same
  two numbers of the largest PET component above SUV 2.5, which needs no contour;
- image-level labels (classes, ordered classes, several labels, numbers): what the training labels alone say, and
  logistic or linear regression on the same three sets of numbers; of pictures, on the areas in the true mask.

The training part fits, the test part is only evaluated. Numbers are standardised by the training patients; a missing
one takes their mean. Where a cohort does not hold what a reference needs, the reference is absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from branchpoint.evaluation.evaluation import pool
from branchpoint.evaluation.label_references import LABEL_TASKS, RIDGE, answers, guess_name, model_name
from branchpoint.evaluation.measurements import Mask, Measurements, Prepared
from branchpoint.evaluation.native_scores import COUNTS, NativeCohort, drawn_summary, knows_native_grids, stacked
from branchpoint.evaluation.shape_references import ellipsoid, mean_mask
from branchpoint.tasks.base import Summary, Task
from branchpoint.tasks.segmentation import SegmentationTask
from branchpoint.tasks.survival import SurvivalTask
from branchpoint.training.batches import clinical_values as clinical

MEAN_MASK = "mean training mask"
ELLIPSOID = "centred ellipsoid"
TUMOUR = "log volume and log SUVmax of the true mask"
AREAS = "log areas in the true mask"
COMPONENT = "log volume and log maximum of the largest PET component above SUV 2.5"


@dataclass(frozen=True)
class Reference:
    """What a trivial method does on the test patients.

    Attributes:
        label: what it is, the same for every fold, such as ``Cox on age, T stage and N stage``.
        task: name of the task it answers.
        summary: as a network's: the same metrics and intervals follow.
        note: how many patients lacked a number, or ``""``.
    """

    label: str
    task: str
    summary: Summary
    note: str = ""


@dataclass(frozen=True)
class _Numbers:
    """float (N, F) of all patients, NaN where missing."""

    label: str
    values: np.ndarray


def references(
    tasks: Sequence[Task],
    prepared: Prepared,
    measured: Measurements,
    train: Sequence[int] | np.ndarray,
    test: Sequence[int] | np.ndarray,
) -> list[Reference]:
    """Every reference that the cohort allows for every task.

    Args:
        tasks: of the network that is compared.
        prepared: the cohort.
        measured: of :func:`branchpoint.evaluation.measurements.measure`; one for all folds.
        train: positions of the patients that fit (training and validation part of a fold).
        test: positions of the patients that are evaluated.

    Raises:
        ValueError: a patient is in both parts.
    """
    train, test = np.asarray(train, dtype=np.int64), np.asarray(test, dtype=np.int64)
    both = np.intersect1d(train, test)
    if len(both):
        raise ValueError(f"patient {prepared.patient_ids[both[0]]} is in the training and in the test part")
    found: list[Reference] = []
    for task in tasks:
        if isinstance(task, SegmentationTask) and task.config.background:
            found += _masks(task, prepared, measured, train, test)
        elif isinstance(task, SurvivalTask):
            found += _cox(task, prepared, measured, train, test)
        elif isinstance(task, LABEL_TASKS):
            found += _of_labels(task, prepared, measured, train, test)
    return found


def pool_references(folds: Sequence[Sequence[Reference]]) -> list[Reference]:
    """The references of all folds, each over the test patients of every fold."""
    grouped: dict[tuple[str, str], list[Reference]] = {}
    for fold in folds:
        for reference in fold:
            grouped.setdefault((reference.label, reference.task), []).append(reference)
    return [
        Reference(label, task, pool([reference.summary for reference in group]), group[0].note)
        for (label, task), group in grouped.items()
    ]


def _masks(
    task: SegmentationTask, prepared: Prepared, measured: Measurements, train: np.ndarray, test: np.ndarray
) -> Iterator[Reference]:
    """Masks drawn on the prepared grid and scored as a network's."""
    target, classes = task.config.target, range(1, task.config.foreground_classes + 1)
    labelled = np.array([measured.masks[target][i] is not None for i in test])
    for label, draw in ((MEAN_MASK, mean_mask), (ELLIPSOID, ellipsoid)):
        of_class = [draw(measured, target, k, train, test) for k in classes]
        drawn = [np.stack(masks).reshape(-1, *measured.shape) for masks in zip(*of_class, strict=True)]
        if knows_native_grids(prepared):
            summary = drawn_summary(task, cast(NativeCohort, prepared), test.tolist(), drawn, labelled)
        else:
            rows = [_counts(measured.masks[target][i], masks) for i, masks in zip(test, drawn, strict=True)]
            summary = stacked(rows, test.tolist(), labelled)
        yield Reference(label, task.name, summary)


def _counts(mask: Mask | None, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Voxels of the prepared grid: of masks drawn for each class, bool (classes, [D,] H, W)."""
    flat = drawn.reshape(len(drawn), -1)
    if mask is None:
        return dict.fromkeys(COUNTS, np.zeros(len(flat), np.int64))
    overlap = [np.count_nonzero(each[mask.voxels[mask.classes == k]]) for k, each in enumerate(flat, 1)]
    predicted = [np.count_nonzero(each) - np.count_nonzero(each[mask.ignored]) for each in flat]
    truth = [np.count_nonzero(mask.classes == k) for k in range(1, len(flat) + 1)]
    return {name: np.array(v, np.int64) for name, v in zip(COUNTS, (overlap, predicted, truth), strict=True)}


def clinical_survival(task: SurvivalTask, prepared: Prepared, train: np.ndarray, test: np.ndarray) -> Reference | None:
    """Cox on the clinical values alone, the same as among :func:`references`; ``None`` where the cohort has none."""
    found = [_cox_on(numbers, task, prepared, train, test) for numbers in _clinical(prepared, task.config.target)]
    return found[0] if found else None


def _clinical(prepared: Prepared, without: str) -> Iterator[_Numbers]:
    names = clinical.columns(prepared.covariates, without)
    if names:
        yield _Numbers(_listed([clinical.NAMES[name] for name in names]), clinical.matrix(prepared.covariates, names))


def _numbers(prepared: Prepared, measured: Measurements, without: str) -> Iterator[_Numbers]:
    yield from _clinical(prepared, without)
    pairs = ((TUMOUR, measured.tumour), (AREAS, measured.areas), (COMPONENT, measured.component))
    for label, values in pairs:
        if values is not None and not np.isnan(values).all():
            yield _Numbers(label, values)


def _cox(
    task: SurvivalTask, prepared: Prepared, measured: Measurements, train: np.ndarray, test: np.ndarray
) -> Iterator[Reference]:
    for numbers in _numbers(prepared, measured, task.config.target):
        yield _cox_on(numbers, task, prepared, train, test)


def _cox_on(
    numbers: _Numbers, task: SurvivalTask, prepared: Prepared, train: np.ndarray, test: np.ndarray
) -> Reference:
    labels, labelled = prepared.labels[task.config.target], prepared.labelled[task.config.target]
    fit = train[labelled[train]]
    truth = {"time_days": labels[test, 0], "event": labels[test, 1] > 0.5, "labelled": labelled[test], "index": test}
    x = _standardised(numbers.values, fit)
    log_hazard = _fit_cox(x[fit], labels[fit, 0], labels[fit, 1] > 0.5, x[test])
    return Reference(f"Cox on {numbers.label}", task.name, {"log_hazard": log_hazard, **truth}, _note(numbers))


def _fit_cox(x: np.ndarray, time_days: np.ndarray, event: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    """Log-hazards (N,) of ``x_test``; NaN where there is no event to learn from."""
    from sksurv.linear_model import CoxPHSurvivalAnalysis
    from sksurv.util import Surv

    if not event.any():
        return np.full(len(x_test), np.nan)
    model = CoxPHSurvivalAnalysis(alpha=RIDGE).fit(x, Surv.from_arrays(event, time_days))
    return np.asarray(model.predict(x_test), dtype=np.float64)


def _of_labels(
    task: Task, prepared: Prepared, measured: Measurements, train: np.ndarray, test: np.ndarray
) -> Iterator[Reference]:
    labels, labelled = prepared.labels[task.config.target], prepared.labelled[task.config.target]
    fit = train[labelled[train]]
    known = {"labelled": labelled[test], "index": test}
    yield Reference(guess_name(task), task.name, {**answers(task, labels, None, fit, test), **known})
    for numbers in _numbers(prepared, measured, task.config.target):
        x = _standardised(numbers.values, fit)
        label = f"{model_name(task)} on {numbers.label}"
        yield Reference(label, task.name, {**answers(task, labels, x, fit, test), **known}, _note(numbers))


def _standardised(values: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 over the patients ``fit``; 0 where missing, or where they do not vary."""
    known = ~np.isnan(values[fit])
    count = known.sum(0).clip(min=1)
    mean = np.where(known, values[fit], 0.0).sum(0) / count
    deviation = np.sqrt((np.where(known, values[fit] - mean, 0.0) ** 2).sum(0) / count)
    safe = np.where(deviation > 0, deviation, np.inf)
    return np.nan_to_num((values - mean) / safe)


def _note(numbers: _Numbers) -> str:
    missing = np.isnan(numbers.values).any(1)
    if not missing.any():
        return ""
    return f"{missing.sum()} of {len(missing)} patients lack a number; the training mean stands in"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
