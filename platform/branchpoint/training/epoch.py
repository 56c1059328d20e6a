"""One epoch of training: load, augment, forward, balance, step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from branchpoint.balancing import Step, TaskLoss, collect_gradients
from branchpoint.datasets.batch import Batch
from branchpoint.networks.adversarial import set_progress
from branchpoint.training.batches.augmentation import apply_params, make_params, still
from branchpoint.training.batches.loading import prefetch
from branchpoint.training.batches.margins import cropped, cut_margins, cuts_margins, draw_cuts, training_loader
from branchpoint.training.devices.randomness import AUGMENTATION, derived_seed
from branchpoint.training.errors import TrainingDiverged
from branchpoint.training.run import Run
from branchpoint.training.step.optimizer import clip_gradient, learning_rate, set_learning_rate
from branchpoint.training.step.performance import Performance
from branchpoint.training.step.same_batch import SameBatch
from branchpoint.training.step.semi_supervised import guide


class _Finite:
    """Raises where a loss or the gradient is not finite, one step late: a check at once would stall a GPU."""

    def __init__(self, run: Run, epoch: int) -> None:
        self._run, self._epoch = run, epoch
        self._last: tuple[int, np.ndarray, list[str], Tensor] | None = None

    def watch(self, step: int, indices: np.ndarray, losses: Mapping[str, TaskLoss], norm: Tensor) -> None:
        values = torch.stack([*(loss.value for loss in losses.values()), norm])
        self.check()
        self._last = step, indices, [*losses, "gradient"], values

    def check(self) -> None:
        if self._last is None:
            return
        step, indices, names, values = self._last
        for name, value in zip(names, values.tolist(), strict=True):
            if not math.isfinite(value):
                raise TrainingDiverged(self._epoch, step, name, value, self._run.patients(indices))


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


def train_epoch(run: Run, epoch: int, before_step: Callable[[SameBatch], None] | None = None) -> dict[str, float]:
    """Train for one epoch (from 1); ``loss`` (weighted sum), ``<task>/loss`` and ``<task>/weight``, means over steps.

    Args:
        before_step: called with each batch when the learning rate is set, to look at what a step would do.

    Raises:
        TrainingDiverged: a loss or the gradient is not finite.
    """
    batches = run.sampler.epoch(epoch)
    generator = torch.Generator().manual_seed(derived_seed(run.config.seed, AUGMENTATION, epoch))
    finite, means, performance = _Finite(run, epoch), _Means(), Performance(run)
    run.network.train()
    local = [indices[run.workers.rows(len(indices))] for indices in batches]
    with closing(prefetch(training_loader(run.prepared), local, run.device)) as loaded:
        for step, (indices, batch) in enumerate(zip(batches, loaded, strict=True)):
            progress = (epoch - 1 + step / len(batches)) / run.config.training.epochs
            set_learning_rate(run.optimizer, learning_rate(run.config.optimizer, progress))
            set_progress(run.network, progress)
            augmented = _augmented(run, len(indices), batch, generator)
            guidance = guide(run, augmented, indices, epoch, step, progress) if run.teacher else None
            same = SameBatch(run, indices, augmented, guidance)
            if before_step is not None:
                before_step(same)
            losses, norm = _step(run, epoch, same, performance)
            finite.watch(step + 1, indices, losses, norm)
            means.add(losses, run.balancer.weights())
            if run.teacher is not None and run.config.training.semi_supervised is not None:
                taken = (epoch - 1) * len(batches) + step
                run.teacher.follow(run.network, run.config.training.semi_supervised.decay, taken)
    finite.check()
    if run.balancer.watches_performance:
        run.balancer.watch_performance(performance.values())
    return means.values({task.name: task.config.weight for task in run.trained})


def _step(run: Run, epoch: int, same: SameBatch, performance: Performance) -> tuple[dict[str, TaskLoss], Tensor]:
    """Losses over the global batch, and the norm of its gradient before clipping."""
    run.optimizer.zero_grad()
    ahead = run.balancer.weights_ahead
    if same.in_parts and ahead is not None:
        outputs, losses = same.add_gradients(ahead)
        collect_gradients(run.network, run.workers.add_up)
    else:
        outputs, losses = same.losses()
        run.balancer.backward(Step(losses, run.network, run.workers.add_up, epoch))
    norm = clip_gradient(run.network, run.config.optimizer.clip_norm)
    run.optimizer.step()
    if run.balancer.looks_again:
        run.balancer.look_again(same.values_now())
    if run.balancer.watches_performance:
        performance.add(outputs, same.batch, same.count)
    return losses, norm


def _augmented(run: Run, count: int, batch: Batch, generator: torch.Generator) -> Batch:
    """``batch`` after this worker's part of the moves drawn for the ``count`` samples of the global batch."""
    config, rows = run.config.training.augmentation, run.workers.rows(count)
    image = batch.inputs["image"]
    axes = image.ndim - 2
    moves = None
    if config is not None:
        moves = make_params(count, axes, config, run.prepared.spacing_mm, generator, image.shape[1])[rows]
    if cuts_margins(run.prepared):
        shares = draw_cuts(count, axes, generator)[rows]
        if batch.cuts is not None:
            moves = still(len(batch), axes) if moves is None else moves
            batch, shifts = cut_margins(batch, shares)
            moves = replace(moves, shift_voxels=moves.shift_voxels + shifts)
    return cropped(batch) if moves is None else apply_params(batch, moves)
