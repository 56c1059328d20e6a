"""Losses and metrics of a whole fold: never averaged over batches, the same on every worker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from branchpoint.datasets.batch import Batch
from branchpoint.tasks.base import Summary, Task
from branchpoint.training.batches.loading import prefetch
from branchpoint.training.errors import TrainingDiverged
from branchpoint.training.run import Run


@dataclass
class _Seen:
    """What one worker saw of one task.

    Attributes:
        summaries: of each batch.
        rows: logits, target and labelled of each batch, where the loss compares samples.
        loss_sum: of labelled samples, where it does not.
        count: labelled samples.
    """

    summaries: list[Summary] = field(default_factory=list)
    rows: list[tuple[Tensor, ...]] = field(default_factory=list)
    loss_sum: float = 0.0
    count: int = 0

    def add(self, task: Task, logits: Tensor, batch: Batch) -> None:
        logits = logits.float()
        target, labelled = task.target(batch)
        summary = task.summarize(logits, target, labelled)
        self.summaries.append({name: values.cpu().numpy() for name, values in summary.items()})
        count = int(labelled.sum())
        self.count += count
        if task.gathers:
            self.rows.append((logits.cpu(), target.cpu(), labelled.cpu()))
        elif count:
            self.loss_sum += float(task.loss(logits, target, labelled)) * count


def validate(run: Run, indices: np.ndarray, epoch: int, network: nn.Module | None = None) -> dict[str, float]:
    """``loss`` (weighted sum over trained tasks), ``score``, and ``<task>/loss``, ``<task>/n`` (labelled samples) and
    ``<task>/<metric>`` of each task.

    Nothing at all without samples (``split.refit``). Losses that compare samples (Cox) are computed once on the whole
    fold. A task without a labelled sample has no loss. Auxiliary tasks count neither in ``loss`` nor in ``score``,
    unless nothing else is trained.

    Args:
        run: whose tasks and network.
        indices: samples to look at.
        epoch: for the error's message.
        network: another than the one that the run would end with now.

    Raises:
        TrainingDiverged: the loss of a trained task is not finite.
    """
    if not len(indices):
        return {}
    everyone = run.workers.gather_objects(
        _collect(run, indices[run.workers.part(len(indices))], network or run.validated)
    )
    values: dict[str, float] = {}
    losses: dict[str, float] = {}
    for task in run.tasks:
        seen = [each[task.name] for each in everyone]
        values[f"{task.name}/n"] = float(sum(each.count for each in seen))
        loss = _loss(task, seen)
        if loss is not None:
            values[f"{task.name}/loss"] = losses[task.name] = loss
        metrics = task.metrics(_joined([summary for each in seen for summary in each.summaries]))
        values |= {f"{task.name}/{metric}": value for metric, value in metrics.items()}
    decisive = [task for task in deciding(run.tasks) if task.name in losses and task.config.weight > 0]
    values = {"score": score(run.tasks, values), **values}
    for task in run.trained:
        if not math.isfinite(losses.get(task.name, 0.0)):
            patients = [run.prepared.patient_ids[index] for index in indices]
            raise TrainingDiverged(epoch, None, task.name, losses[task.name], patients)
    return {"loss": sum(task.config.weight * losses[task.name] for task in decisive), **values}


def figures_by_rule(run: Run, history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """``rule/<rule>/<task>/<metric>``: primary metrics on validation under each rule of choosing weights.

    ``own_best`` takes each task at its own best epoch, which no single network reaches; ``last`` and ``average`` are
    those of the network and of its averaged weights after the last epoch. One further pass over the validation split.
    """
    if not len(run.folds.validation):
        return {}
    validated, average = run.config.training.select_by == "average", run.average.network
    other = validate(run, run.folds.validation, len(history), run.network if validated else average)
    last = {name.removeprefix("validation/"): value for name, value in history[-1].items()}
    found: dict[str, float] = {}
    for task in run.trained:
        name = f"{task.name}/{task.primary_metric}"
        seen = [epoch[f"validation/{name}"] for epoch in history]
        known = [value for value in seen if not math.isnan(value)]
        found[f"rule/own_best/{name}"] = max(known, default=math.nan)
        found[f"rule/last/{name}"] = other[name] if validated else last[name]
        found[f"rule/average/{name}"] = last[name] if validated else other[name]
    return found


def score(tasks: Sequence[Task], values: Mapping[str, float]) -> float:
    """Mean over :func:`deciding` tasks of :meth:`~branchpoint.tasks.base.Task.share` of the primary metric, weighted by
    the tasks' importance.

    Each share is corrected for chance, from 0 (what no knowledge gets) to 1 (perfect), so that tasks count alike. An
    undefined metric counts as chance, as does a task that is not trained: a study asks for a network that does all its
    tasks, and not learning one must not pay. :func:`branchpoint.evaluation.study_score.study_score` gives the same
    number of test or validation samples with its standard error.
    """

    def known(task: Task) -> float:
        if task.config.weight == 0:
            return 0.0
        value = values[f"{task.name}/{task.primary_metric}"]
        return task.share(task.chance if math.isnan(value) else value)

    asked = deciding(tasks)
    return float(np.average([known(task) for task in asked], weights=[task.config.importance for task in asked]))


def deciding(tasks: Sequence[Task]) -> list[Task]:
    """The tasks that choose an epoch or a configuration: all but auxiliary ones, or all where a run has no others."""
    main = [task for task in tasks if not task.config.auxiliary]
    return main if any(task.config.weight > 0 for task in main) else list(tasks)


@torch.no_grad()
def _collect(run: Run, indices: np.ndarray, network: nn.Module) -> dict[str, _Seen]:
    seen = {task.name: _Seen() for task in run.tasks}
    size = run.local_batch_size
    batches = [indices[start : start + size] for start in range(0, len(indices), size)]
    network.eval()
    for batch in prefetch(run.prepared.batch, batches, run.device):
        outputs = run.forward(batch, network)
        for task in run.tasks:
            seen[task.name].add(task, outputs[task.name], batch)
    return seen


def _loss(task: Task, seen: Sequence[_Seen]) -> float | None:
    count = sum(each.count for each in seen)
    if not count:
        return None
    if task.gathers:
        rows = zip(*(rows for each in seen for rows in each.rows), strict=True)
        return float(task.loss(*(torch.cat(tensors) for tensors in rows)))
    return sum(each.loss_sum for each in seen) / count


def _joined(summaries: Sequence[Summary]) -> Summary:
    return {name: np.concatenate([summary[name] for summary in summaries]) for name in summaries[0]}
