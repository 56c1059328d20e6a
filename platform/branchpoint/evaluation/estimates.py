"""Figures with intervals, for the store: models and references on the same test samples, per fold, pooled, and of
models by centre; and the differences that answer the study's question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from branchpoint.config import Config
from branchpoint.evaluation.bootstrap import Interval, intervals, paired_differences
from branchpoint.evaluation.comparisons import holm
from branchpoint.evaluation.evaluation import pool
from branchpoint.evaluation.incremental import combined
from branchpoint.evaluation.references import Reference
from branchpoint.evaluation.reported import reported_task
from branchpoint.store import FigureRecord
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary, Task, select
from branchpoint.tasks.survival import SurvivalTask

Summaries = Mapping[str, Summary]
Folds = Sequence[Summary]
Kind = Literal["model", "reference", "difference"]
ATTAINABLE = "true log-hazard of the phantom"
POOLED = -1


@dataclass(frozen=True)
class _Study:
    """Everything that is the same for all figures of a study."""

    name: str
    excluded: np.ndarray
    groups: Sequence[str | None]
    centers: Sequence[str | None]
    resamples: int

    def kept(self, summary: Summary) -> Summary:
        """``summary`` without the excluded patients."""
        return select(summary, ~np.isin(summary["index"], self.excluded))

    def pooled(self, runs: Sequence[Folds]) -> list[Summary]:
        """One summary over all folds for each seed."""
        return [pool([self.kept(summary) for summary in folds]) for folds in runs]

    def figures(
        self, label: str, kind: Kind, task: Task, runs: Sequence[Folds], config: Config | None = None
    ) -> Iterator[FigureRecord]:
        """Of every fold, and pooled."""
        for fold in range(len(runs[0])):
            yield from self.of(label, kind, task, [self.kept(folds[fold]) for folds in runs], fold, config)
        yield from self.of(label, kind, task, self.pooled(runs), POOLED, config)

    def of(
        self, label: str, kind: Kind, task: Task, runs: Sequence[Summary], fold: int, config: Config | None
    ) -> Iterator[FigureRecord]:
        """Every metric of ``runs``, one summary for each seed."""
        found = intervals(task, runs, groups=self.groups, resamples=self.resamples)
        yield from (self.record(label, kind, fold, task, metric, each, config) for metric, each in found.items())

    def by_center(self, label: str, task: Task, runs: Sequence[Folds], config: Config) -> Iterator[FigureRecord]:
        """Pooled figures of each centre's patients; none where the cohort tells of fewer than two centres."""
        if len({center for center in self.centers if center}) < 2:
            return
        names = np.array([center or "unknown" for center in self.centers])
        pooled = self.pooled(runs)
        for center in sorted({str(names[index]) for index in pooled[0]["index"]}):
            parts = [select(summary, names[summary["index"]] == center) for summary in pooled]
            yield from (
                replace(record, center=center) for record in self.of(label, "model", task, parts, POOLED, config)
            )

    def differences(
        self, first: str, second: str, task: Task, runs: Sequence[Sequence[Folds]], config: Config
    ) -> Iterator[FigureRecord]:
        """Paired over the same samples, pooled over folds."""
        pooled = [self.pooled(each) for each in runs]
        found = paired_differences(task, *pooled, groups=self.groups, resamples=self.resamples)
        label = f"{first} minus {second}"
        for metric, interval in found.items():
            yield self.record(label, "difference", POOLED, task, metric, interval, config)

    def added_value(
        self, model: str, label: str, task: Task, runs: Sequence[Folds], reference: Folds
    ) -> tuple[list[FigureRecord], list[FigureRecord]]:
        """Figures of a survival reference together with the model's risk, and differences from it alone.

        See :mod:`branchpoint.evaluation.incremental`. The likelihood-ratio test's p-value is the median over seeds.
        """
        (known,) = self.pooled([reference])
        found = [combined(known, each) for each in self.pooled(runs)]
        together = [each for each in found if each is not None]
        if len(together) < len(found):
            return [], []
        summaries, name = [each.summary for each in together], f"{label}, with {model}"
        alone = {**known, "labelled": summaries[0]["labelled"]}
        gains = paired_differences(task, summaries, [alone], groups=self.groups, resamples=self.resamples)
        p = float(np.median([each.p for each in together]))
        gains["likelihood_ratio_p"] = Interval(p, p, p, int(alone["labelled"].sum()), p=p)
        figures = list(self.of(name, "model", task, summaries, POOLED, None))
        return figures, [
            self.record(f"{name} minus {label}", "difference", POOLED, task, metric, gain, None)
            for metric, gain in gains.items()
        ]

    def record(
        self, label: str, kind: Kind, fold: int, task: Task, metric: str, interval: Interval, config: Config | None
    ) -> FigureRecord:
        return FigureRecord(
            study=self.name,
            candidate=config.candidate if config else "",
            label=label,
            kind=kind,
            split="test",
            fold=fold,
            task=task.name,
            metric=metric,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n=interval.n,
            error=interval.error,
            p=interval.p,
            resampled=interval.resampled,
        )


def figure_records(
    *,
    study: str,
    configs: Mapping[str, Config],
    models: Mapping[str, Sequence[Sequence[Summaries]]],
    references: Mapping[str, Sequence[Summaries]],
    trivial: Sequence[Sequence[Reference]],
    excluded: np.ndarray,
    known_risk: Mapping[int, float],
    groups: Sequence[str | None] = (),
    centers: Sequence[str | None] = (),
    resamples: int = 1000,
) -> list[FigureRecord]:
    """All test figures of a study.

    Differences are those of the best found minus every other model and reference, for the tasks that both learned:
    they answer the study's question. Their p-values on the tasks' primary metrics are one family, corrected by Holm.

    Args:
        study: its name.
        configs: label to Config of each model; the first is the best found.
        models: label to summaries by task, for each seed and fold.
        references: label to summaries by task, for each fold, of networks that count as references.
        trivial: references of each fold.
        excluded: positions of patients that are left out everywhere.
        known_risk: position to true log-hazard, where it is known.
        groups: of every sample of the cohort (volume, video, patient); the bootstrap draws them whole.
        centers: of every sample of the cohort; models are looked at for each centre where there are several.
        resamples: of the bootstrap.
    """
    about = _Study(study, excluded, groups, centers, resamples)
    best = next(iter(configs))
    tasks = {task.name: reported_task(task) for task in configs[best].tasks}
    learned = {label: _by_task(runs, trained(configs[label])) for label, runs in models.items()}
    others = {label: _by_task([folds], tasks) for label, folds in references.items()} | _trivial(trivial)
    records: list[FigureRecord] = []
    for label, by_task in learned.items():
        for name, runs in by_task.items():
            records += about.figures(label, "model", tasks[name], runs, configs[label])
            records += about.by_center(label, build_task(tasks[name].config), runs, configs[label])
    for label, by_task in (others | _attainable(models[best][0], tasks, known_risk)).items():
        for name, runs in by_task.items():
            records += about.figures(label, "reference", tasks[name], runs)
    rivals = {
        label: by_task
        for label, by_task in (learned | others).items()
        if label not in configs or configs[label].candidate != configs[best].candidate
    }
    differences: list[FigureRecord] = []
    for label, by_task in rivals.items():
        for name, runs in learned[best].items():
            if name in by_task and len(by_task[name][0]) == len(runs[0]):
                differences += about.differences(best, label, tasks[name], (runs, by_task[name]), configs[best])
    primary = {name: task.primary_metric for name, task in tasks.items()}
    return (
        records + corrected(differences, primary) + _added_values(about, best, tasks, learned[best], _trivial(trivial))
    )


def added_references(
    *,
    study: str,
    config: Config,
    label: str,
    models: Sequence[Sequence[Summaries]],
    references: Sequence[Sequence[Reference]],
    excluded: np.ndarray,
    groups: Sequence[str | None] = (),
    resamples: int = 1000,
) -> list[FigureRecord]:
    """Figures of references that are computed after a study has ended, and differences of its model from them.

    The differences' p-values on primary metrics are a family of their own, corrected by Holm. They are over the
    samples that both have: a reference may have no answer for some.

    Args:
        study: its name.
        config: of the model.
        label: of the model.
        models: its summaries by task, for each seed and fold; empty: no differences.
        references: of each fold.
        excluded: positions of patients that are left out everywhere.
        groups: as in :func:`figure_records`.
        resamples: of the bootstrap.
    """
    about = _Study(study, excluded, groups, (), resamples)
    tasks = {task.name: reported_task(task) for task in config.tasks}
    records: list[FigureRecord] = []
    differences: list[FigureRecord] = []
    for name, by_task in _trivial(references).items():
        for task, runs in by_task.items():
            records += about.figures(name, "reference", tasks[task], runs)
            if models and task in trained(config):
                ours = [[fold[task] for fold in folds] for folds in models]
                pair = _on_common_samples(ours, runs[0])
                differences += about.differences(label, name, tasks[task], pair, config)
    learned = _by_task(models, trained(config)) if models else {}
    primary = {name: task.primary_metric for name, task in tasks.items()}
    return records + corrected(differences, primary) + _added_values(about, label, tasks, learned, _trivial(references))


def _added_values(
    about: _Study,
    model: str,
    tasks: Mapping[str, Task],
    learned: Mapping[str, Sequence[Folds]],
    references: Mapping[str, Mapping[str, Sequence[Folds]]],
) -> list[FigureRecord]:
    """The model's value beyond every survival reference; the differences are a family of their own."""
    records: list[FigureRecord] = []
    differences: list[FigureRecord] = []
    for label, by_task in references.items():
        for name, runs in by_task.items():
            same_folds = name in learned and len(learned[name][0]) == len(runs[0])
            if same_folds and isinstance(tasks[name], SurvivalTask):
                figures, gains = about.added_value(model, label, tasks[name], learned[name], runs[0])
                records += figures
                differences += gains
    return records + corrected(differences, {name: task.primary_metric for name, task in tasks.items()})


def external_records(
    *,
    study: str,
    config: Config,
    label: str,
    runs: Sequence[Summaries],
    groups: Sequence[str | None] = (),
    centers: Sequence[str | None] = (),
    resamples: int = 1000,
) -> list[FigureRecord]:
    """Figures of a study's networks on a cohort that none of them has seen: means over networks, with intervals.

    Args:
        study: its name.
        config: of the networks.
        label: of the figures.
        runs: summaries by task of the whole cohort, for each network.
        groups: of every sample of that cohort.
        centers: of every sample of that cohort.
        resamples: of the bootstrap, over networks and samples.
    """
    about = _Study(study, np.array([], dtype=np.int64), groups, centers, resamples)
    records: list[FigureRecord] = []
    for name in trained(config):
        summaries = [run[name] for run in runs]
        records += about.of(label, "model", reported_task(config.task(name)), summaries, POOLED, None)
        by_center = about.by_center(label, build_task(config.task(name)), [[each] for each in summaries], config)
        records += [replace(record, candidate="") for record in by_center]
    return [replace(record, resampled=record.resampled.replace("seeds", "networks")) for record in records]


def _on_common_samples(models: Sequence[Folds], reference: Folds) -> tuple[list[Folds], list[Folds]]:
    """Both with the samples unlabelled for which one of them has no answer."""
    common = [one["labelled"] & other["labelled"] for one, other in zip(models[0], reference, strict=True)]

    def masked(folds: Folds) -> Folds:
        return [{**summary, "labelled": rows} for summary, rows in zip(folds, common, strict=True)]

    return [masked(folds) for folds in models], [masked(reference)]


def corrected(differences: Sequence[FigureRecord], primary: Mapping[str, str]) -> list[FigureRecord]:
    """``differences`` with Holm's p-values over those of the tasks' primary metrics; the others are not tested.

    Args:
        differences: of one family.
        primary: task to its primary metric.
    """
    family = [place for place, record in enumerate(differences) if record.metric == primary[record.task]]
    adjusted = dict(zip(family, holm([differences[place].p for place in family]), strict=True))
    return [replace(record, p_adjusted=adjusted.get(place, float("nan"))) for place, record in enumerate(differences)]


def trained(config: Config) -> list[str]:
    """Names of the tasks that ``config`` trains; figures of the others would be those of an untrained head."""
    return [task.name for task in config.tasks if task.weight > 0]


def _by_task(runs: Sequence[Sequence[Summaries]], names: Iterable[str]) -> dict[str, list[Folds]]:
    return {name: [[fold[name] for fold in folds] for folds in runs] for name in names}


def _trivial(folds: Sequence[Sequence[Reference]]) -> dict[str, dict[str, list[Folds]]]:
    """Label to task to the one run, over the folds that have it."""
    found: dict[str, dict[str, list[list[Summary]]]] = {}
    for fold in folds:
        for reference in fold:
            runs = found.setdefault(reference.label, {}).setdefault(reference.task, [[]])
            runs[0].append(reference.summary)
    return {label: {task: list(runs) for task, runs in by_task.items()} for label, by_task in found.items()}


def _attainable(
    folds: Sequence[Summaries], tasks: Mapping[str, Task], known_risk: Mapping[int, float]
) -> dict[str, dict[str, list[Folds]]]:
    """Survival by the true log-hazards, where they are known."""
    names = [name for name, task in tasks.items() if known_risk and isinstance(task, SurvivalTask)]
    by_task: dict[str, list[Folds]] = {name: [[_with_risk(fold[name], known_risk) for fold in folds]] for name in names}
    return {ATTAINABLE: by_task}


def _with_risk(summary: Summary, known_risk: Mapping[int, float]) -> Summary:
    risk = np.array([known_risk.get(int(position), np.nan) for position in summary["index"]])
    return {**summary, "log_hazard": risk}
