"""Weightings of losses attached to a linear network of three tasks."""

import torch

from branchpoint.balancing import Balancer, build_balancer
from branchpoint.config import balancing_config
from tests.balancing.toys import Linear

ROWS = {"a": (2.0, 0.0), "b": (0.0, 3.0), "c": (1.0, -1.0)}

METHODS = (
    *("sum", "normalized_sum", "uncertainty", "imtl_l", "stch", "dirichlet", "rlw", "gls", "dwa", "gradnorm", "dtp"),
    "famo",
)


def built(method: str, task_weights: dict[str, float] | None = None, seed: int = 0, **options: object) -> Balancer:
    task_weights = task_weights or dict.fromkeys(ROWS, 1.0)
    balancer = build_balancer(balancing_config(method, **options), task_weights, seed)
    balancer.attach(Linear({name: ROWS[name] for name in task_weights}))
    return balancer


def weighted(network: Linear, weight: dict[str, float]) -> torch.Tensor:
    return sum((network.rows[name] * value for name, value in weight.items()), start=torch.zeros(2).double())
