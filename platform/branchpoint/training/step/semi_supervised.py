"""Learning from samples without a label: a teacher's confident answers as labels, and agreement with it.

What the review asks for in its section 4.5: pseudo-labels of images that lack a label, mixed with labelled ones, here
made anew at every step by a mean teacher that sees the same augmented batch (so that masks need no warping), and a
consistency term between the teacher and the network, whose own image is noisier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from branchpoint.balancing import TaskLoss
from branchpoint.config import SemiSupervisedConfig
from branchpoint.datasets.batch import Batch
from branchpoint.tasks.base import Task
from branchpoint.training.devices.randomness import NOISE, derived_seed
from branchpoint.training.run import Run


def rampup(config: SemiSupervisedConfig, progress: float) -> float:
    """0 before ``config.start``, then exp(-5 (1 - t)^2), 1 from ``config.ramp`` later on (Laine and Aila 2017)."""
    if progress < config.start:
        return 0.0
    passed = min((progress - config.start) / config.ramp, 1.0) if config.ramp else 1.0
    return math.exp(-5 * (1 - passed) ** 2)


@dataclass(frozen=True)
class Guidance:
    """What the teacher says of one batch.

    Attributes:
        run: who trains.
        batch: this worker's rows, as the teacher sees them.
        seen: the same as the network sees them, noisier where consistency is asked for.
        answers: task to the teacher's logits.
        weight: of both terms, from 0 to 1.
        own: how many of the rows count; 0 where a worker without any was given one to look at.
    """

    run: Run
    batch: Batch
    seen: Batch
    answers: Mapping[str, Tensor]
    weight: float
    own: int

    def part(self, rows: slice) -> Guidance:
        """What the teacher says of some of this worker's rows."""
        answers = {name: logits[rows] for name, logits in self.answers.items()}
        own = min(self.own, rows.stop) - min(self.own, rows.start)
        return replace(self, batch=self.batch[rows], seen=self.seen[rows], answers=answers, own=own)

    def added_to(
        self, losses: Mapping[str, TaskLoss], outputs: Mapping[str, Tensor], labelled: Mapping[str, np.ndarray]
    ) -> dict[str, TaskLoss]:
        """``losses`` with the terms of every task that has probabilities, also of those without a label in the batch.

        Both are means over the global batch: of unlabelled samples for pseudo-labels, an unsure one counting as zero
        (as in FixMatch, Sohn et al. 2020), and of all samples for the consistency.

        Args:
            losses: on labels.
            outputs: logits of the network.
            labelled: target to bool (B,) of the global batch.
        """
        terms = self.shares(outputs, labelled)
        values = {name: share.detach().clone() for name, share in terms.items()}
        self.run.workers.add_up([*values.values()])
        joined = dict(losses)
        for name, share in terms.items():
            known = losses.get(name)
            joined[name] = (
                TaskLoss(known.share + share, known.value + values[name]) if known else (TaskLoss(share, values[name]))
            )
        return {task.name: joined[task.name] for task in self.run.trained if task.name in joined}

    def shares(self, outputs: Mapping[str, Tensor], labelled: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """What these rows add to the terms of each task that has any; see :meth:`added_to`."""
        count = len(next(iter(labelled.values())))
        found = {task.name: self._share(task, outputs[task.name].float(), labelled, count) for task in self.run.trained}
        return {name: share for name, share in found.items() if share is not None}

    def _share(self, task: Task, logits: Tensor, labelled: Mapping[str, np.ndarray], count: int) -> Tensor | None:
        """What these rows add to a task's terms; ``None`` where it has none on any worker."""
        settings = self.run.config.training.semi_supervised
        answers = self.answers[task.name].float()
        agreed, teachers = task.probabilities(logits), task.probabilities(answers)
        if settings is None or agreed is None or teachers is None:
            return None
        own = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
        own[: self.own] = True
        term = logits.new_zeros(())
        unlabelled = count - int(task.known(labelled, count).sum())
        pseudo = task.pseudo_labels(answers, settings.threshold)
        if settings.pseudo_weight and unlabelled and pseudo is not None:
            target, sure = pseudo
            usable = sure & own & ~task.target(self.batch)[1]
            term = term + settings.pseudo_weight * task.loss(logits, target, usable) * usable.sum() / unlabelled
        if settings.consistency_weight:
            apart = (agreed - teachers).square().flatten(1).mean(1)
            term = term + settings.consistency_weight * torch.where(own, apart, 0.0).sum() / count
        return self.weight * term


@torch.no_grad()
def guide(run: Run, batch: Batch, indices: np.ndarray, epoch: int, step: int, progress: float) -> Guidance | None:
    """What the teacher says of ``batch``, this worker's rows of the samples ``indices``; ``None`` before its time."""
    settings = run.config.training.semi_supervised
    if settings is None or run.teacher is None:
        return None
    weight = rampup(settings, progress)
    if not weight:
        return None
    seen = batch
    if settings.consistency_weight and settings.noise:
        seen = replace(batch, inputs={**batch.inputs, "image": _noisy(run, batch, len(indices), epoch, step)})
    step_size = run.local_batch_size
    parts = [run.forward(batch[slice(i, i + step_size)], run.teacher.network) for i in range(0, len(batch), step_size)]
    answers = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    rows = run.workers.part(len(indices))
    return Guidance(run, batch, seen, answers, weight, rows.stop - rows.start)


def _noisy(run: Run, batch: Batch, count: int, epoch: int, step: int) -> Tensor:
    """The image with noise that depends on the sample's place in the global batch, not on the worker."""
    settings = run.config.training.semi_supervised
    image = batch.inputs["image"]
    noise = torch.empty_like(image)
    first = run.workers.rows(count).start
    for row in range(len(image)):
        generator = torch.Generator(image.device)
        generator.manual_seed(derived_seed(run.config.seed, NOISE, epoch, step, first + row))
        noise[row].normal_(generator=generator)
    return image + noise * (settings.noise if settings else 0.0)
