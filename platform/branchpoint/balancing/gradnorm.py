"""GradNorm: weights that make the gradients of all tasks train at a common rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from branchpoint.balancing.base import Balancer, Step, complete_gradients
from branchpoint.balancing.loss_weighting import RunningMeans
from branchpoint.balancing.sharing import Owners, owners_of_parameters
from branchpoint.config.balancing import GradNormConfig


class GradNorm(Balancer):
    """Learned weights w that pull the norms n_i = |w_i grad L_i| towards n r_i^alpha (Chen et al. 2018, alg. 1).

    The gradient is that of the last stage which all tasks share, n the mean norm, r_i = (L_i / L_i(0)) over its mean
    and L_i(0) the mean loss of the first epoch, in which all tasks weigh 1. Learned are logits x with
    w = N softmax(x), so weights stay positive and add up to N, the number of tasks in the network; they take part in
    the optimiser with the gradient of sum |n_i - n r_i^alpha|, targets held fixed.

    Separate networks are balanced each by itself. A task that is absent from a step keeps its logit.

    Args:
        alpha: strength of the pull.
        learning_rate: of the logits.
    """

    config_class = GradNormConfig

    @classmethod
    def of(cls, config: GradNormConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.alpha, config.learning_rate)

    def __init__(self, task_weights: Mapping[str, float], alpha: float = 1.5, learning_rate: float = 0.025) -> None:
        self.alpha, self.learning_rate = alpha, learning_rate
        self._task_weights = dict(task_weights)
        self._names = list(task_weights)
        self._first = RunningMeans()
        self._networks: list[tuple[tuple[str, ...], tuple[nn.Parameter, ...]]] = []
        self._last: dict[str, float | Tensor] = dict(task_weights)
        self.logits = nn.Parameter(torch.zeros(len(self._names)))

    def attach(self, network: nn.Module) -> None:
        """Find the last stage that the tasks of each separate network share.

        Raises:
            ValueError: there is none.
        """
        owners = owners_of_parameters(network, self._names)
        names = {parameter: name for name, parameter in network.named_parameters()}
        self._networks = []
        for tasks in _connected(owners.values()):
            common = [parameter for parameter, owned in owners.items() if owned == frozenset(tasks)]
            if len(tasks) > 1 and not common:
                raise ValueError(
                    f"gradnorm compares gradients in the last stage that tasks share, but {', '.join(tasks)} share "
                    "none; choose another balancing.method or topology"
                )
            last = _stage(names[common[-1]]) if common else ""
            stage = tuple(parameter for parameter in common if _stage(names[parameter]) == last)
            self._networks.append((tuple(name for name in self._names if name in tasks), stage))
        self.logits.data = self.logits.data.to(next(network.parameters()).device)

    def backward(self, step: Step) -> None:
        """Gradients of the weighted sum and, from the second epoch on, of the logits; one reduction for both."""
        weights = self._weights()
        self._last = {name: self._task_weights[name] * weight for name, weight in weights.items()}
        names = list(step.losses)
        shares = {name: self._task_weights[name] * step.losses[name].share for name in names}
        values = {name: self._task_weights[name] * step.losses[name].value for name in names}
        for name, value in values.items():
            if step.epoch == 1 or self._first.mean(name) is None:
                self._first.add(name, value)
        compared = [
            (present, stage)
            for tasks, stage in self._networks
            if len(present := [name for name in tasks if name in values]) > 1 and step.epoch > 1
        ]
        rows = {
            name: torch.autograd.grad(shares[name], stage, retain_graph=True, allow_unused=True, materialize_grads=True)
            for present, stage in compared
            for name in present
        }
        if names:
            torch.stack([weights[name] * shares[name] for name in names]).sum().backward()
        gradients = complete_gradients(step.network.parameters())
        step.add_up([*gradients, *(tensor for row in rows.values() for tensor in row)])
        self.logits.grad = torch.zeros_like(self.logits)
        for present, _ in compared:
            norms = torch.stack([_norm(rows[name]) for name in present])
            self._add_gradient(present, norms, torch.stack([values[name] for name in present]), weights)

    def _add_gradient(
        self, present: Sequence[str], norms: Tensor, values: Tensor, weights: Mapping[str, Tensor]
    ) -> None:
        """Of sum |w_i norm_i - target_i| in the logits: w_j (q_j - sum_i w_i q_i / N), q_i = sign_i norm_i."""
        own = torch.stack([weights[name] for name in present])
        targets = gradnorm_targets(own * norms, values / self._first_losses(present), self.alpha)
        pulls = dict(zip(present, ((own * norms - targets).sign() * norms).unbind(), strict=True))
        tasks = next(tasks for tasks, _ in self._networks if present[0] in tasks)
        mean = sum(weights[name] * pull for name, pull in pulls.items()) / len(tasks)
        assert self.logits.grad is not None
        for name in present:
            self.logits.grad[self._names.index(name)] = weights[name] * (pulls[name] - mean)

    def _first_losses(self, names: Sequence[str]) -> Tensor:
        means = [self._first.mean(name) for name in names]
        return torch.stack([mean for mean in means if mean is not None]).to(self.logits.device)

    def _weights(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for tasks, _ in self._networks:
            rows = torch.tensor([self._names.index(name) for name in tasks], device=self.logits.device)
            found.update(zip(tasks, len(tasks) * self.logits.detach()[rows].softmax(0), strict=True))
        return found

    def weights(self) -> Mapping[str, float | Tensor]:
        """Of the last step, the Config's weight included."""
        return self._last

    def parameters(self) -> Sequence[nn.Parameter]:
        """The logits (N,)."""
        return (self.logits,)

    def state_dict(self) -> dict[str, Any]:
        return {"logits": self.logits.detach().clone(), "first": self._first.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            self.logits.copy_(state["logits"])
        self._first.load_state_dict(state["first"])


def gradnorm_targets(norms: Tensor, ratios: Tensor, alpha: float) -> Tensor:
    """n r^alpha (N,): n the mean of ``norms`` (N,), r the training ratios L / L(0) (N,) over their mean."""
    return norms.mean() * (ratios / ratios.mean().clamp(min=torch.finfo(ratios.dtype).tiny)).pow(alpha)


def _norm(row: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.square().sum() for tensor in row]).sum().sqrt()


def _stage(name: str) -> str:
    """``encoder.2.0`` of ``encoder.2.0.units.1.weight``."""
    return ".".join(name.split(".")[:3])


def _connected(groups: Iterable[Owners]) -> list[Owners]:
    """Tasks that share parameters with each other, directly or through others."""
    found: list[Owners] = []
    for group in filter(None, groups):
        touching = [other for other in found if other & group]
        found = [other for other in found if not other & group] + [group.union(*touching)]
    return found
