"""The loss of each task over the global batch, and this worker's share of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from branchpoint.balancing import TaskLoss
from branchpoint.datasets.batch import Batch
from branchpoint.tasks.base import Task
from branchpoint.training.distributed import Workers


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
    losses, separate = {}, []
    for task in tasks:
        known = task.known(global_labelled, count)
        labelled_count = int(known.sum())
        if not labelled_count:
            continue
        logits, (truth, labelled) = outputs[task.name].float(), task.target(batch)
        if task.gathers:
            loss = task.loss(*(workers.gather(tensor[:own], count) for tensor in (logits, truth, labelled)))
            losses[task.name] = TaskLoss(loss, loss.detach())
        else:
            labelled = labelled if own else torch.zeros_like(labelled)
            share = task.loss(logits, truth, labelled) * (int(known[rows].sum()) / labelled_count)
            losses[task.name] = TaskLoss(share, share.detach().clone())
            separate.append(losses[task.name].value)
    workers.add_up(separate)
    return losses
