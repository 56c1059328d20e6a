"""The loss of each task over the global batch, and this worker's share of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from branchpoint.balancing import TaskLoss
from branchpoint.datasets.batch import Batch
from branchpoint.tasks.base import Task
from branchpoint.training.devices.distributed import Workers


def task_losses(
    tasks: Sequence[Task],
    outputs: Mapping[str, Tensor],
    batch: Batch,
    global_labelled: Mapping[str, np.ndarray],
    workers: Workers,
) -> dict[str, TaskLoss]:
    """Losses of the tasks with a labelled sample in the global batch.

    A loss that compares samples (Cox) is that of the gathered rows of all workers. The others are means over labelled
    samples, weighted by this worker's labelled samples among those of all.

    Args:
        tasks: trained tasks.
        outputs: task name to logits of this worker's rows.
        batch: this worker's rows.
        global_labelled: target to bool (B,) of the whole batch.
        workers: who trains together.
    """
    count = len(next(iter(global_labelled.values())))
    rows = workers.part(count)
    own = rows.stop - rows.start
    shares = task_shares([task for task in tasks if not task.gathers], outputs, batch, global_labelled, rows)
    losses = {}
    for task in tasks:
        if task.name in shares:
            losses[task.name] = TaskLoss(shares[task.name], shares[task.name].detach().clone())
        elif task.gathers and task.known(global_labelled, count).any():
            logits, (truth, labelled) = outputs[task.name].float(), task.target(batch)
            loss = task.loss(*(workers.gather(tensor[:own], count) for tensor in (logits, truth, labelled)))
            losses[task.name] = TaskLoss(loss, loss.detach())
    workers.add_up([losses[name].value for name in shares])
    return losses


def task_shares(
    tasks: Sequence[Task],
    outputs: Mapping[str, Tensor],
    batch: Batch,
    global_labelled: Mapping[str, np.ndarray],
    rows: slice,
) -> dict[str, Tensor]:
    """What some rows add to the losses of the tasks with a labelled sample in the global batch.

    Args:
        tasks: whose losses are means over labelled samples.
        outputs: task name to logits of the rows.
        batch: the rows.
        global_labelled: target to bool (B,) of the whole batch.
        rows: which of the B they are; empty for a row that was given to a worker without any, only to look at.
    """
    count = len(next(iter(global_labelled.values())))
    shares = {}
    for task in tasks:
        known = task.known(global_labelled, count)
        total = int(known.sum())
        if not total:
            continue
        truth, labelled = task.target(batch)
        labelled = labelled if rows.stop > rows.start else torch.zeros_like(labelled)
        shares[task.name] = task.loss(outputs[task.name].float(), truth, labelled) * (int(known[rows].sum()) / total)
    return shares
