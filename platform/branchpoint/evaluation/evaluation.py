"""Predictions of a network on samples that it did not learn from, as the tasks' summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from branchpoint.config import Config
from branchpoint.datasets.batch import Batch
from branchpoint.evaluation.native_scores import knows_native_grids, native_summary
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary, Task
from branchpoint.tasks.segmentation import SegmentationTask
from branchpoint.training.batches.samples import Samples


class Batches(Protocol):
    """Where samples come from: a prepared cohort."""

    def batch(self, indices: np.ndarray) -> Batch:
        """The samples at these positions."""


def evaluate(
    network: nn.Module,
    config: Config,
    prepared: Batches,
    indices: Sequence[int] | np.ndarray,
    device: torch.device | str | None = None,
    batch_size: int = 1,
    *,
    native: bool = True,
) -> dict[str, Summary]:
    """Task name to summary of the patients at ``indices``, in their order; nothing is averaged over batches.

    Segmentations are scored on the grid and the full extent of the mask's file; see
    :mod:`branchpoint.evaluation.native_scores`.

    The network is left in the mode (training or not) it was in.

    Args:
        network: inputs as in ``Batch.inputs`` to task name to logits.
        config: its tasks and precision are used.
        prepared: the cohort.
        indices: positions in it.
        device: ``None`` takes the network's.
        batch_size: samples at a time. One by one, as new patients are predicted, figures come out again to the last
            bit: sums over a batch are taken in another order, and a voxel at the threshold may change its side.
        native: score segmentations on the grids of their files, where the cohort knows these; the validation of a
            training scores them on the prepared grid.

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
    half = torch.autocast(device.type, torch.bfloat16, enabled=config.training.precision == "bf16")
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), half:
            for start in range(0, len(indices), batch_size):
                batch = prepared.batch(indices[start : start + batch_size]).to(device)
                outputs = network(batch.inputs)
                for task in tasks:
                    parts[task.name].append(_summary(task, outputs[task.name], batch, prepared if native else None))
    finally:
        network.train(was_training)
    return {name: concatenate(summaries) for name, summaries in parts.items()}


def _summary(task: Task, logits: torch.Tensor, batch: Batch, prepared: Any) -> Summary:
    """Segmentations on their files' own grids where the cohort knows these, everything else on the prepared grid."""
    if isinstance(task, SegmentationTask) and prepared is not None and knows_native_grids(prepared):
        probabilities = task.probabilities(logits).cpu().numpy()
        labelled = task.target(batch)[1].cpu().numpy()
        return native_summary(task, prepared, batch.index.tolist(), probabilities, labelled)
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
