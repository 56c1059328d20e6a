"""Optimisers and the course of their learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from branchpoint.config import OptimizerConfig

POLYNOMIAL_POWER = 0.9
"""Exponent of nnU-Net's schedule."""
RATE_FACTOR = "rate_factor"
"""Key of a parameter group: its learning rate is the scheduled one times this."""
FIXED_RATE = "fixed_rate"
"""Key of a parameter group whose learning rate is this, whatever the schedule says."""


def build_optimizer(
    config: OptimizerConfig,
    network: nn.Module,
    balancing: Sequence[nn.Parameter] = (),
    balancing_rate: float = 0.025,
) -> torch.optim.Optimizer:
    """The optimiser over the network's parameters and those that a balancer learns.

    Weight decay (L2 for ``adam`` and ``sgd``, decoupled for ``adamw``) leaves out vectors: biases and normalisation.
    Parameters of ``network.encoder`` learn at ``config.encoder_rate`` times the rate; at 0 they are left out, and stay
    as they are. The parameters of ``balancing`` are not decayed, and learn at ``balancing_rate`` from the first step
    to the last, without momentum in ``sgd``.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    encoder = {id(p) for p in getattr(network, "encoder", nn.ModuleList()).parameters()}
    groups: list[dict[str, Any]] = [
        {"params": list(balancing), "weight_decay": 0.0, "lr": balancing_rate, FIXED_RATE: balancing_rate}
    ]
    for factor, members in (
        (1.0, [parameter for parameter in trainable if id(parameter) not in encoder]),
        (config.encoder_rate, [parameter for parameter in trainable if id(parameter) in encoder]),
    ):
        if factor:
            matrices = [parameter for parameter in members if parameter.ndim >= 2]
            vectors = [parameter for parameter in members if parameter.ndim < 2]
            groups.append({"params": matrices, RATE_FACTOR: factor})
            groups.append({"params": vectors, "weight_decay": 0.0, RATE_FACTOR: factor})
    groups = [group for group in groups if group["params"]]
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.name == "sgd":
        for group in groups:
            if FIXED_RATE in group:
                group |= {"momentum": 0.0, "nesterov": False}
        return torch.optim.SGD(groups, momentum=config.momentum, nesterov=config.momentum > 0, **shared)
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(groups, betas=config.betas, **shared)


def learning_rate(config: OptimizerConfig, progress: float) -> float:
    """Rate after the share ``progress`` (0 to 1) of the whole budget, by ``config.schedule``, with warm-up."""
    rise = min(1.0, progress / config.warmup_share) if config.warmup_share else 1.0
    return config.learning_rate * rise * _decay(config, progress)


def _decay(config: OptimizerConfig, progress: float) -> float:
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "polynomial":
        return max(0.0, 1 - progress) ** POLYNOMIAL_POWER
    if config.schedule == "halving":
        # 1/3 + 1/3 + 1/3 of the steps must be three parts although thirds are rounded.
        return 0.5 ** math.floor(progress / config.halving_share + 1e-9)
    return 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use ``rate``, times the factor of each parameter group without a fixed rate, from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = group[FIXED_RATE] if FIXED_RATE in group else rate * group.get(RATE_FACTOR, 1.0)


def clip_gradient(network: nn.Module, largest_norm: float | None) -> Tensor:
    """Norm of the whole gradient, found before it is scaled down to ``largest_norm``, if it exceeds that."""
    trainable = [parameter for parameter in network.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in trainable if parameter.grad is not None])
    if largest_norm is not None:
        nn.utils.clip_grads_with_norm_(trainable, largest_norm, norm)
    return norm
