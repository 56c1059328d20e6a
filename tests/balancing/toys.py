"""Networks small enough to do by hand, and steps on them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from branchpoint.balancing import Balancer, Step, TaskLoss


class Linear(nn.Module):
    """Losses that are linear in shared parameters: task i has the gradient ``rows[i]`` and, alone, ``head_i``.

    Args:
        rows: task to gradient (P,); parameters where it is exactly NaN are not the task's.
    """

    def __init__(self, rows: Mapping[str, Sequence[float]]) -> None:
        super().__init__()
        self.rows = {name: torch.tensor(row, dtype=torch.float64) for name, row in rows.items()}
        count = len(next(iter(self.rows.values())))
        self.shared = nn.ParameterList(nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(count))
        self.heads = nn.ParameterDict({name: nn.Parameter(torch.zeros((), dtype=torch.float64)) for name in rows})

    def tasks_of_parameters(self, gradients: bool = False) -> dict[str, frozenset[str]]:
        """As a network of the platform tells it."""
        found = {
            f"shared.{place}": frozenset(name for name, row in self.rows.items() if not row[place].isnan())
            for place in range(len(self.shared))
        }
        return found | {f"heads.{name}": frozenset([name]) for name in self.rows}

    def losses(self, values: Mapping[str, float] | None = None) -> dict[str, TaskLoss]:
        """The losses of ``values`` (all tasks, of 1, where it is not given)."""
        values = dict.fromkeys(self.rows, 1.0) if values is None else values
        found = {}
        for name, value in values.items():
            terms = [p * slope for p, slope in zip(self.shared, self.rows[name], strict=True) if not slope.isnan()]
            share = torch.stack([*terms, self.heads[name]]).sum() + value
            found[name] = TaskLoss(share, share.detach())
        return found

    @property
    def gradient(self) -> Tensor:
        """Of the shared parameters, (P,)."""
        return torch.stack([parameter.grad for parameter in self.shared if parameter.grad is not None])


class Reductions:
    """One worker's reduction, counted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        self.calls += 1


def step(balancer: Balancer, network: Linear, values: Mapping[str, float] | None = None, epoch: int = 1) -> Tensor:
    """Gradient of the shared parameters after one backward pass, which must take one reduction."""
    network.zero_grad()
    reductions = Reductions()
    balancer.backward(Step(network.losses(values), network, reductions, epoch))
    assert reductions.calls == 1
    assert all(parameter.grad is not None for parameter in [*network.parameters(), *balancer.parameters()])
    return network.gradient


def weights(balancer: Balancer) -> dict[str, float]:
    """Weights of the last step, as numbers."""
    return {name: float(weight) for name, weight in balancer.weights().items()}
