"""Which configurations can be trained at all, known before any worker starts."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from branchpoint.config import Config
from branchpoint.search.suggest.suggestions import Feasible

if TYPE_CHECKING:  # it brings torch
    from branchpoint.networks.cost import Cost

BYTES_PER_PARAMETER = 16
"""Weight, gradient and Adam's two moments in float32."""


def load_ahead() -> Thread:
    """Begin to import what the first estimate needs, beside what else is going on: it takes seconds."""
    loading = Thread(target=importlib.import_module, args=("torch._dynamo",), daemon=True)
    loading.start()
    return loading


@dataclass(frozen=True, kw_only=True)
class CostLimits:
    """What a network may cost; ``None``: no limit.

    Attributes:
        parameters: of the network.
        macs: multiply-accumulates of one sample's forward pass.
    """

    parameters: float | None = None
    macs: float | None = None

    def exceeded(self, cost: Cost) -> str | None:
        """Which limit ``cost`` is beyond, in words."""
        for name in ("parameters", "macs"):
            limit, needed = getattr(self, name), getattr(cost, name)
            if limit is not None and needed > limit:
                return f"has {needed:,} {'MACs' if name == 'macs' else name}, at most {limit:,.0f} are allowed"
        return None


def fits(limit_bytes: float | None, workers: int = 1, limits: CostLimits | None = None) -> Feasible:
    """Rejects a Config that describes no network, whose balancing does not suit its topology, whose network is beyond
    ``limits``, or whose training needs more than ``limit_bytes`` on one of ``workers`` that share its batches."""

    def feasible(config: Config) -> str | None:
        from branchpoint.networks import estimate

        cost = estimate(config)
        check_balancing(config)
        if limits and (reason := limits.exceeded(cost)):
            return reason
        bytes_per_sample = cost.activation_bytes // (2 if config.training.precision == "bf16" else 1)
        samples = -(-config.training.batch_size // workers)
        samples = min(samples, config.training.micro_batch or samples)
        needed = samples * bytes_per_sample + BYTES_PER_PARAMETER * cost.parameters
        if limit_bytes is not None and needed > limit_bytes:
            return (
                f"needs about {needed / 1e9:.1f} GB for a batch of {samples}, a {'run' if workers == 1 else 'worker'} "
                f"may use {limit_bytes / 1e9:.1f} GB"
            )
        return None

    return feasible


def check_balancing(config: Config) -> None:
    """Raises ValueError where tasks share less than the balancing of ``config`` needs; nothing is allocated."""
    import torch

    from branchpoint.balancing import build_balancer
    from branchpoint.networks import Network

    if config.balancing.needs_shared_stage:
        with torch.device("meta"):
            balancer = build_balancer(config.balancing, {t.name: t.weight for t in config.tasks if t.weight > 0})
            balancer.attach(Network(config))
