"""What a network does on patients it did not learn from: summaries, and figures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from branchpoint.config import Config
from branchpoint.datasets.batch import Batch
from branchpoint.evaluation.bootstrap import intervals
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary, Task, select
from branchpoint.training.batches.samples import Samples


class Batches(Protocol):
    """Where samples come from: a prepared cohort."""

    def batch(self, indices: np.ndarray) -> Batch:
        """The samples at these positions."""


@dataclass(frozen=True)
class Figure:
    """One metric of one task with its bootstrap interval; NaN where undefined.

    Attributes:
        task: its name.
        metric: its name.
        value: on all patients.
        low: lower end of the interval.
        high: upper end of the interval.
        n: labelled patients.
    """

    task: str
    metric: str
    value: float
    low: float
    high: float
    n: int


def evaluate(
    network: nn.Module,
    config: Config,
    prepared: Batches,
    indices: Sequence[int] | np.ndarray,
    device: torch.device | str | None = None,
    batch_size: int | None = None,
) -> dict[str, Summary]:
    """Task name to summary of the patients at ``indices``, in their order; nothing is averaged over batches.

    The network is left in the mode (training or not) it was in.

    Args:
        network: inputs as in ``Batch.inputs`` to task name to logits.
        config: its tasks, precision and (unless given) batch size are used.
        prepared: the cohort.
        indices: positions in it.
        device: ``None`` takes the network's.
        batch_size: samples at a time.

    Raises:
        ValueError: there are no indices.
    """
    prepared = Samples.of(config, prepared)
    indices = np.asarray(indices, dtype=np.int64)
    if not len(indices):
        raise ValueError("there are no patients to evaluate: indices is empty")
    device = torch.device(device or next((parameter.device for parameter in network.parameters()), "cpu"))
    tasks = [build_task(task) for task in config.tasks]
    parts: dict[str, list[Summary]] = {task.name: [] for task in tasks}
    size = batch_size or config.training.batch_size
    half = torch.autocast(device.type, torch.bfloat16, enabled=config.training.precision == "bf16")
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), half:
            for start in range(0, len(indices), size):
                batch = prepared.batch(indices[start : start + size]).to(device)
                outputs = network(batch.inputs)
                for task in tasks:
                    parts[task.name].append(_summary(task, outputs[task.name], batch))
    finally:
        network.train(was_training)
    return {name: concatenate(summaries) for name, summaries in parts.items()}


def _summary(task: Task, logits: torch.Tensor, batch: Batch) -> Summary:
    summary = task.summarize(logits, *task.target(batch))
    return {name: values.cpu().numpy() for name, values in summary.items()} | {"index": batch.index.cpu().numpy()}


def concatenate(summaries: Sequence[Summary]) -> Summary:
    """All samples of ``summaries``, in order."""
    return {name: np.concatenate([summary[name] for summary in summaries]) for name in summaries[0]}


def pool(folds: Mapping[int, Summary] | Sequence[Summary]) -> Summary:
    """The test patients of all folds as one summary with ``fold`` (N,).

    Rank metrics then compare patients within a fold alone: log-hazards of different models have different baselines.
    """
    numbered = folds if isinstance(folds, Mapping) else dict(enumerate(folds))
    return concatenate(
        [{**summary, "fold": np.full(len(summary["labelled"]), fold)} for fold, summary in numbered.items()]
    )


def metric_values(tasks: Sequence[Task], summaries: Mapping[str, Summary]) -> dict[str, float]:
    """``<task>/<metric>`` to value."""
    return {
        f"{task.name}/{metric}": value for task in tasks for metric, value in task.metrics(summaries[task.name]).items()
    }


def figures_by_center(
    tasks: Sequence[Task],
    summaries: Mapping[str, Summary],
    centers: Sequence[str | None],
    **options: int | float,
) -> dict[str, list[Figure]]:
    """:func:`figures` of the patients of each centre (an OCT's vendor) alone, centres in alphabetical order.

    Args:
        tasks: whose figures.
        summaries: of :func:`evaluate` or :func:`pool`, with ``index``.
        centers: of every patient of the cohort; ``None`` becomes ``unknown``.
        options: as :func:`figures` takes them.
    """
    names = np.array([center or "unknown" for center in centers])
    return {
        name: figures(
            tasks,
            {task: select(summary, names[summary["index"]] == name) for task, summary in summaries.items()},
            **options,  # type: ignore[arg-type]
        )
        for name in sorted({str(names[index]) for summary in summaries.values() for index in summary["index"]})
    }


def figures(
    tasks: Sequence[Task],
    summaries: Mapping[str, Summary],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Figure]:
    """Every metric of every task that has a summary, with its percentile bootstrap interval over patients."""
    return [
        Figure(task.name, metric, found.value, found.low, found.high, found.n)
        for task in tasks
        if task.name in summaries
        for metric, found in intervals(task, summaries[task.name], resamples=resamples, level=level, seed=seed).items()
    ]
