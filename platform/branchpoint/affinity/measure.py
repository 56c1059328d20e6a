"""Which tasks help each other, and down to which stage: measured while they are trained together.

See :mod:`branchpoint.affinity.probe` for the measures, :mod:`branchpoint.affinity.matrices` for what they give.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from branchpoint.affinity.matrices import Affinities
from branchpoint.affinity.probe import Probe
from branchpoint.config import Config
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.training.devices.randomness import TRAINING, derived_seed
from branchpoint.training.epoch import train_epoch
from branchpoint.training.run import build_run


def measure_affinities(
    config: Config,
    prepared: PreparedCohort,
    *,
    every: int = 10,
    device: torch.device | str = "cpu",
    report: Callable[[int, float], None] | None = None,
) -> Affinities:
    """Train the tasks of ``config`` together and measure their affinities on the way; validation is not looked at.

    Affinities are those of the topology of ``config``: tasks are compared in the stages that they share there.

    Args:
        every: steps between two measurements. One costs a forward pass, T backward passes, and 2 T + 2 more forward
            passes: after a step by each task and by none, on everything and on one stage, each stage in its turn.
        report: called after each epoch with its number and the mean training loss.

    Raises:
        ValueError: fewer than two tasks are trained, or they share nothing.
    """
    run = build_run(config, prepared, torch.device(device))
    probe = Probe(run, every)
    started = time.perf_counter()
    with torch.random.fork_rng([run.device] if run.device.type == "cuda" else []):
        for epoch in range(1, config.training.epochs + 1):
            torch.manual_seed(derived_seed(config.seed, TRAINING, epoch))
            metrics = train_epoch(run, epoch, probe)
            if report is not None:
                report(epoch, metrics["loss"])
    return probe.affinities(time.perf_counter() - started)
