"""Adam and AdamW, with cosine decay (paper 003, 2.3) or repeated halving (paper 002, 4) of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from branchpoint.config import OptimizerConfig


def build_optimizer(
    config: OptimizerConfig, network: nn.Module, undecayed: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimiser over the network and ``undecayed`` (what a balancer learns).

    Weight decay (L2 for ``adam``, decoupled for ``adamw``) leaves out vectors: biases and normalisation.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    vectors = [parameter for parameter in trainable if parameter.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trainable if parameter.ndim >= 2]},
        {"params": [*vectors, *undecayed], "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=True,
    )


def learning_rate(config: OptimizerConfig, progress: float) -> float:
    """Rate after the share ``progress`` (0 to 1) of the whole budget, by ``config.schedule``."""
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "halving":
        # 1/3 + 1/3 + 1/3 of the steps must be three parts although thirds are rounded.
        return config.learning_rate * 0.5 ** math.floor(progress / config.halving_share + 1e-9)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use ``rate`` from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradient(network: nn.Module, largest_norm: float | None) -> Tensor:
    """Norm of the whole gradient, found before it is scaled down to ``largest_norm``, if it exceeds that."""
    trainable = [parameter for parameter in network.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in trainable if parameter.grad is not None])
    if largest_norm is not None:
        nn.utils.clip_grads_with_norm_(trainable, largest_norm, norm)
    return norm
