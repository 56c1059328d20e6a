"""What training gives back: a report of each epoch, and the trained network with its history and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True)
class EpochReport:
    """What one epoch gave.

    Attributes:
        epoch: from 1.
        metrics: ``train/loss``, ``validation/loss`` (both weighted sums over trained tasks), ``validation/score``
            (mean over tasks of the share that their primary metric gives, from 0 to 1), ``train/<task>/loss``,
            ``train/<task>/weight``, ``validation/<task>/loss`` and ``validation/<task>/<metric>``.
        seconds: of training and validation.
    """

    epoch: int
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class RunCost:
    """What a run cost.

    Attributes:
        parameters: learned numbers of the network.
        macs: multiply-accumulates of one sample's forward pass.
        peak_memory_bytes: of the GPU, or of the process where there is none; the largest over workers.
        epoch_seconds: median over epochs; the first one also warms up.
        gpu_seconds: of all workers together; 0 without GPU.
    """

    parameters: int
    macs: int
    peak_memory_bytes: int
    epoch_seconds: float
    gpu_seconds: float


@dataclass(frozen=True)
class FitResult:
    """A trained network.

    Attributes:
        best_epoch: the epoch that the weights of ``network`` are of, from 1; the last where ``training.select_by`` is
            ``last`` or ``average``.
        metrics: of that epoch.
        history: every epoch, those before a resumption included.
        network: in evaluation mode, on the device it was trained on.
        stopped: ``report`` ended the run before its budget.
        cost: what it took.
        by_rule: validation figures under each rule that weights could be chosen by, ``rule/<rule>/<task>/<metric>``:
            ``own_best`` (each task at its own best epoch), ``last`` and ``average``; empty where it was stopped.
        notes: what a reader should know of the run: missing clinical values, weights that it started from.
    """

    best_epoch: int
    metrics: Mapping[str, float]
    history: tuple[EpochReport, ...]
    network: nn.Module
    stopped: bool
    cost: RunCost
    notes: tuple[str, ...] = ()
    by_rule: Mapping[str, float] = field(default_factory=dict)
