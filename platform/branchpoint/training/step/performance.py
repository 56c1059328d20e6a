"""How well tasks do on the training samples of an epoch, from the outputs that were computed anyway."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from branchpoint.datasets.batch import Batch
from branchpoint.tasks.base import Summary
from branchpoint.training.run import Run


class Performance:
    """Collects small summaries of training outputs (augmented, with dropout, by the weights of each step)."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._summaries: dict[str, list[Summary]] = {task.name: [] for task in run.trained}

    @torch.no_grad()
    def add(self, outputs: Mapping[str, Tensor], batch: Batch, count: int) -> None:
        """Take in this worker's rows of a global batch of ``count`` samples."""
        part = self._run.workers.part(count)
        own = part.stop - part.start
        for task in self._run.trained:
            target, labelled = task.target(batch)
            summary = task.summarize(outputs[task.name].float()[:own], target[:own], labelled[:own])
            self._summaries[task.name].append({name: values.cpu().numpy() for name, values in summary.items()})

    def values(self) -> dict[str, float]:
        """Primary metric of each trained task over all workers; NaN where undefined."""
        everyone = self._run.workers.gather_objects(self._summaries)
        values = {}
        for task in self._run.trained:
            parts = [summary for each in everyone for summary in each[task.name]]
            joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            values[task.name] = task.metrics(joined)[task.primary_metric]
        return values
