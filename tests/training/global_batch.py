"""What one process and each of several compute, to be compared: gradients of global batches and whole runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from branchpoint.balancing import Step
from branchpoint.config import Config
from branchpoint.training.loop import EpochReport, fit
from branchpoint.training.run import build_run
from branchpoint.training.step.losses import task_losses
from tests.training.spheres import MemoryCohort

CPU = torch.device("cpu")


def one_labelled_mask() -> MemoryCohort:
    """Most global batches have no mask, and where there is one, one worker lacks it."""
    cohort = MemoryCohort()
    cohort.labelled["tumour"][:] = False
    cohort.labelled["tumour"][np.arange(0, 24, 6)] = True
    return cohort


def gradients(config: Config, cohort: Any, sizes: tuple[int, ...], device: torch.device = CPU) -> list[dict[str, Any]]:
    """Gradient and losses of the first weights on global batches of ``sizes`` samples."""
    run = build_run(config, cohort, device)
    steps = []
    for size in sizes:
        indices = np.resize(run.folds.train, 24)[:size]
        for dropout in run.dropouts:
            dropout.see(run.workers.rows(size), size)
        torch.manual_seed(size)
        run.network.train()
        run.optimizer.zero_grad()
        batch = run.prepared.batch(indices[run.workers.rows(size)]).to(device)
        labelled = {name: values[indices] for name, values in run.prepared.labelled.items()}
        losses = task_losses(run.trained, run.forward(batch), batch, labelled, run.workers)
        run.balancer.backward(Step(losses, run.network, run.workers.add_up, 1))
        steps.append(
            {
                "losses": {name: float(loss.value) for name, loss in losses.items()},
                "gradient": {
                    name: p.grad.cpu().clone() for name, p in run.network.named_parameters() if p.grad is not None
                },
                "parameters": len(list(run.network.parameters())),
            }
        )
    return steps


def history(
    config: Config, cohort: Any, folder: Path, stop_rank: int = -1, device: torch.device = CPU
) -> dict[str, Any]:
    """A whole run, cut off after epoch 2 where ``stop_rank`` says so, and gone on with."""
    stopped = None
    if stop_rank >= 0:
        mine = not dist.is_initialized() or dist.get_rank() == stop_rank
        broken = fit(
            config,
            cohort,
            checkpoint_dir=folder,
            report=lambda entry: not (mine and entry.epoch == 2),
            device=device,
        )
        stopped = broken.stopped and len(broken.history) == 2
    entries: list[EpochReport] = []
    result = fit(
        config, cohort, checkpoint_dir=folder, report=lambda entry: entries.append(entry) is None, device=device
    )
    return {
        "history": [dict(entry.metrics) for entry in result.history],
        "reported": [entry.epoch for entry in entries],
        "weights": result.network.state_dict(),
        "stopped": stopped,
    }


def in_bf16(config: Config) -> Config:
    """With a gradient that is clipped at nearly every step."""
    config = replace(config, training=replace(config.training, precision="bf16"))
    return replace(config, optimizer=replace(config.optimizer, clip_norm=0.5))
