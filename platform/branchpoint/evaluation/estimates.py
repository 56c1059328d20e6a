"""Figures with intervals, for the store: models and references on the same test patients, per fold, pooled, and of
models by centre."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np

from branchpoint.config import Config
from branchpoint.evaluation.bootstrap import Interval, intervals, paired_differences
from branchpoint.evaluation.evaluation import figures_by_center, pool
from branchpoint.evaluation.references import Reference
from branchpoint.store import FigureRecord
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary, Task, select
from branchpoint.tasks.survival import SurvivalTask

Summaries = Mapping[str, Summary]
Kind = Literal["model", "reference", "difference"]
ATTAINABLE = "true log-hazard of the phantom"
POOLED = -1


def figure_records(
    *,
    study: str,
    configs: Mapping[str, Config],
    models: Mapping[str, Sequence[Summaries]],
    references: Mapping[str, Sequence[Summaries]],
    trivial: Sequence[Sequence[Reference]],
    excluded: np.ndarray,
    known_risk: Mapping[int, float],
    centers: Sequence[str | None] = (),
    resamples: int = 1000,
) -> list[FigureRecord]:
    """All test figures of a study.

    Args:
        configs: label to Config of each model; the first is the best found.
        models: label to summaries by task, for each fold.
        references: the same of networks that count as references.
        trivial: references of each fold.
        excluded: positions of patients that are left out everywhere.
        known_risk: position to true log-hazard, where it is known.
        centers: of every patient of the cohort; models are looked at for each centre where there are several.
        resamples: of the bootstrap.
    """
    best = next(iter(configs))
    every = {task.name: build_task(task) for task in configs[best].tasks}
    records: list[FigureRecord] = []

    def add(label: str, kind: Kind, task: Task, folds: Sequence[Summary], config: Config | None = None) -> None:
        parts = [_without(summary, excluded) for summary in folds]
        numbered = [*enumerate(parts), (POOLED, pool(parts))]
        for fold, summary in numbered:
            found = intervals(task, summary, resamples=resamples)
            records.extend(
                _record(study, label, kind, fold, task.name, metric, interval, config)
                for metric, interval in found.items()
            )

    for label, folds in models.items():
        for name in trained(configs[label]):
            add(label, "model", every[name], [fold[name] for fold in folds], configs[label])
        records += _by_center(study, label, configs[label], folds, excluded, centers, resamples)
    for label, folds in references.items():
        for name, task in every.items():
            add(label, "reference", task, [fold[name] for fold in folds])
    for label, name in dict.fromkeys((reference.label, reference.task) for fold in trivial for reference in fold):
        found = [_of(fold, label, name) for fold in trivial]
        add(label, "reference", every[name], [summary for summary in found if summary is not None])
    for name, task in every.items():
        if known_risk and isinstance(task, SurvivalTask):
            add(ATTAINABLE, "reference", task, [_with_risk(fold[name], known_risk) for fold in models[best]])
    for first, second in combinations([*configs, *references], 2):
        records += _differences(study, first, second, configs, {**models, **references}, every, excluded, resamples)
    return records


def _by_center(
    study: str,
    label: str,
    config: Config,
    folds: Sequence[Summaries],
    excluded: np.ndarray,
    centers: Sequence[str | None],
    resamples: int,
) -> list[FigureRecord]:
    """Pooled figures of each centre's patients; none where the cohort tells of fewer than two centres."""
    if len({center for center in centers if center}) < 2:
        return []
    names = trained(config)
    tasks = [build_task(config.task(name)) for name in names]
    pooled = {name: pool([_without(fold[name], excluded) for fold in folds]) for name in names}
    return [
        replace(
            _record(
                study,
                label,
                "model",
                POOLED,
                figure.task,
                figure.metric,
                Interval(figure.value, figure.low, figure.high, figure.n),
                config,
            ),
            center=center,
        )
        for center, figures in figures_by_center(tasks, pooled, centers, resamples=resamples).items()
        for figure in figures
    ]


def trained(config: Config) -> list[str]:
    """Names of the tasks that ``config`` trains; figures of the others would be those of an untrained head."""
    return [task.name for task in config.tasks if task.weight > 0]


def _differences(
    study: str,
    first: str,
    second: str,
    configs: Mapping[str, Config],
    summaries: Mapping[str, Sequence[Summaries]],
    tasks: Mapping[str, Task],
    excluded: np.ndarray,
    resamples: int,
) -> list[FigureRecord]:
    """Paired over the same patients, for the tasks that both learned; a network that is a reference counts for all."""
    one, other = configs.get(first), configs.get(second)
    if one is None or (other is not None and one.candidate == other.candidate):
        return []
    records = []
    for name in trained(one):
        if other is not None and name not in trained(other):
            continue
        pooled = [pool([_without(fold[name], excluded) for fold in summaries[label]]) for label in (first, second)]
        for metric, interval in paired_differences(tasks[name], *pooled, resamples=resamples).items():
            records.append(_record(study, f"{first} minus {second}", "difference", POOLED, name, metric, interval, one))
    return records


def _without(summary: Summary, excluded: np.ndarray) -> Summary:
    return select(summary, ~np.isin(summary["index"], excluded))


def _of(fold: Sequence[Reference], label: str, task: str) -> Summary | None:
    return next((each.summary for each in fold if (each.label, each.task) == (label, task)), None)


def _with_risk(summary: Summary, known_risk: Mapping[int, float]) -> Summary:
    risk = np.array([known_risk.get(int(position), np.nan) for position in summary["index"]])
    return {**summary, "log_hazard": risk}


def _record(
    study: str, label: str, kind: Kind, fold: int, task: str, metric: str, interval: Interval, config: Config | None
) -> FigureRecord:
    return FigureRecord(
        study=study,
        candidate=config.candidate if config else "",
        label=label,
        kind=kind,
        split="test",
        fold=fold,
        task=task,
        metric=metric,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=interval.n,
    )
