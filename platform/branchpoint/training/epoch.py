"""One epoch of training: load, augment, forward, balance, step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from branchpoint.balancing import TaskLoss
from branchpoint.datasets.batch import Batch
from branchpoint.networks.adversarial import set_progress
from branchpoint.tasks.base import Summary
from branchpoint.training.batches.augmentation import augment_rows
from branchpoint.training.batches.loading import prefetch
from branchpoint.training.batches.margins import cuts_margins, training_loader
from branchpoint.training.devices.randomness import AUGMENTATION, derived_seed
from branchpoint.training.errors import FiniteCheck
from branchpoint.training.run import Run
from branchpoint.training.step.optimizer import learning_rate, set_learning_rate
from branchpoint.training.step.same_batch import SameBatch, take_step
from branchpoint.training.step.semi_supervised import guide


class _Means:
    """Means over steps, kept on the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, float | Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, losses: Mapping[str, TaskLoss], weights: Mapping[str, float | Tensor]) -> None:
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0) + loss.value
            self._weights[name] = self._weights.get(name, 0) + weights[name]
            self._counts[name] = self._counts.get(name, 0) + 1

    def values(self, task_weights: Mapping[str, float]) -> dict[str, float]:
        """``loss`` by the Config's weights, and loss and balancer's weight of each task that had a label."""
        losses = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        values = {"loss": sum(task_weights[name] * loss for name, loss in losses.items())}
        values |= {f"{name}/loss": loss for name, loss in losses.items()}
        return values | {f"{name}/weight": float(total) / self._counts[name] for name, total in self._weights.items()}


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


def train_epoch(run: Run, epoch: int, before_step: Callable[[SameBatch], None] | None = None) -> dict[str, float]:
    """Train for one epoch (from 1); ``loss`` (weighted sum), ``<task>/loss`` and ``<task>/weight``, means over steps.

    Args:
        before_step: called with each batch when the learning rate is set, to look at what a step would do.

    Raises:
        TrainingDiverged: a loss or the gradient is not finite.
    """
    batches = run.sampler.epoch(epoch)
    generator = torch.Generator().manual_seed(derived_seed(run.config.seed, AUGMENTATION, epoch))
    means, performance = _Means(), Performance(run)
    finite = FiniteCheck(epoch, run.prepared.patient_ids)
    augmentation, spacing_mm, cut = (
        run.config.training.augmentation,
        run.prepared.spacing_mm,
        cuts_margins(run.prepared),
    )
    restores = any(task.restores_image for task in run.trained)
    run.network.train()
    local = [indices[run.workers.rows(len(indices))] for indices in batches]
    with closing(prefetch(training_loader(run.prepared), local, run.device)) as loaded:
        for step, (indices, batch) in enumerate(zip(batches, loaded, strict=True)):
            progress = (epoch - 1 + step / len(batches)) / run.config.training.epochs
            set_learning_rate(run.optimizer, learning_rate(run.config.optimizer, progress))
            set_progress(run.network, progress)
            rows = run.workers.rows(len(indices))
            augmented = augment_rows(
                batch, augmentation, spacing_mm, generator, len(indices), rows, cut=cut, keep_unchanged=restores
            )
            guidance = guide(run, augmented, indices, epoch, step, progress) if run.teacher else None
            same = SameBatch(run, indices, augmented, guidance)
            if before_step is not None:
                before_step(same)
            outputs, losses, norm = take_step(run, epoch, same)
            if run.balancer.watches_performance:
                performance.add(outputs, same.batch, same.count)
            means.add(losses, run.balancer.weights())
            finite.watch(step + 1, indices.tolist(), {name: loss.value for name, loss in losses.items()}, norm)
            taken = (epoch - 1) * len(batches) + step
            run.average.add(run.network, run.config.training.average_decay, taken)
            if run.teacher is not None and run.config.training.semi_supervised is not None:
                run.teacher.follow(run.network, run.config.training.semi_supervised.decay, taken)
    finite.check()
    if run.balancer.watches_performance:
        run.balancer.watch_performance(performance.values())
    return means.values({task.name: task.config.weight for task in run.trained})
