"""Methods that look at each element of the tasks' gradients, where a Gramian is not enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from branchpoint.balancing.base import Balancer, Step
from branchpoint.balancing.combinations import import_torchjd
from branchpoint.balancing.sharing import owners_of_parameters, require_sharing, task_gradients
from branchpoint.config.balancing import ExcessMTLConfig, GradDropConfig


class GradDrop(Balancer):
    """Gradient sign dropout: each element of the shared gradient keeps one sign (Chen et al. 2020, algorithm 1).

    With purity P = (1 + sum g / sum |g|) / 2 of an element over the tasks and a uniform draw U, the tasks that pull up
    are kept where P > U, those that pull down where P < U. The combination is TorchJD's.

    Args:
        task_weights: of the Config; they multiply the losses before.
        leak: share of a task's gradient that is never dropped.
        seed: of the draws, alike on every worker.
    """

    config_class = GradDropConfig

    def __init__(self, task_weights: Mapping[str, float], leak: float = 0.0, seed: int = 0) -> None:
        self._aggregator = import_torchjd("graddrop").GradDrop
        self._task_weights = dict(task_weights)
        self._leak = leak
        self._generator = torch.Generator().manual_seed(seed)

    @classmethod
    def of(cls, config: GradDropConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.leak, seed)

    def attach(self, network: nn.Module) -> None:
        """Raises ValueError where no two tasks share a parameter."""
        require_sharing(network, list(self._task_weights))

    def backward(self, step: Step) -> None:
        """A backward pass for each loss, one reduction, then one draw for each shared element."""
        blocks = task_gradients(step, self._task_weights)
        seed = int(torch.randint(2**62, (), generator=self._generator))
        device = next(step.network.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            for block in blocks:
                leak = torch.full((len(block.tasks),), self._leak, dtype=block.rows[0][0].dtype, device=device)
                combine = self._aggregator(leak=leak)
                for place, parameter in enumerate(block.parameters):
                    rows = torch.stack([row[place].flatten() for row in block.rows])
                    parameter.grad = combine(rows).view_as(parameter)

    def weights(self) -> Mapping[str, float | Tensor]:
        """Those of the Config: what is dropped differs from element to element."""
        return dict(self._task_weights)

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._generator.set_state(state["generator"].cpu())


SMALLEST = 1e-7
"""What is added to sums of squares and to first risks, as in the authors' release."""


class ExcessMTL(Balancer):
    """Weights by excess risks, how far each task is from the best it can do (He et al. 2024).

    The excess risk of a task is sum_p g_p^2 / sqrt(S_p), S_p the sum of the squares so far (eq. 6 and 7), over its mean
    in the first steps. Then the weights, a simplex, take a step of exponentiated gradient ascent (eq. 9). They multiply
    the gradients in what tasks share, scaled to add up to 1 over those that share it.

    The state holds the square of each shared parameter for each task that has a gradient in it, as much memory again as
    these gradients take. An absent task keeps its weight.

    Args:
        task_weights: of the Config; they multiply the losses before.
        step_size: of the ascent.
        warm_up_steps: steps with the task in which its first risk is measured and its weight rests; at least 1.
    """

    config_class = ExcessMTLConfig

    def __init__(self, task_weights: Mapping[str, float], step_size: float = 1.0, warm_up_steps: int = 1) -> None:
        self._task_weights = dict(task_weights)
        self.step_size, self.warm_up_steps = step_size, warm_up_steps
        self._squares: dict[str, dict[str, Tensor]] = {name: {} for name in task_weights}
        self._steps = dict.fromkeys(task_weights, 0)
        self._first = dict.fromkeys(task_weights, 0.0)
        self._logits = dict.fromkeys(task_weights, 0.0)

    @classmethod
    def of(cls, config: ExcessMTLConfig, task_weights: Mapping[str, float], seed: int) -> Self:
        return cls(task_weights, config.step_size, config.warm_up_steps)

    def attach(self, network: nn.Module) -> None:
        """Raises ValueError where no two tasks share a parameter."""
        require_sharing(network, list(self._task_weights))
        self._names = {parameter: name for name, parameter in network.named_parameters()}
        owners = owners_of_parameters(network, list(self._task_weights))
        self._sharing = {task for tasks in owners.values() if len(tasks) > 1 for task in tasks}

    def backward(self, step: Step) -> None:
        """A backward pass for each loss, one reduction, then the step of the weights."""
        blocks = task_gradients(step, self._task_weights)
        risks: dict[str, Tensor] = {}
        for block in blocks:
            for task, row in zip(block.tasks, block.rows, strict=True):
                own = [self._risk(task, parameter, g) for parameter, g in zip(block.parameters, row, strict=True)]
                risks[task] = torch.stack([*own, *([risks[task]] if task in risks else [])]).sum()
        if risks:
            self._ascend(dict(zip(risks, torch.stack(list(risks.values())).tolist(), strict=True)))
        for block in blocks:
            logits = torch.tensor([self._logits[task] for task in block.tasks], dtype=torch.float64)
            block.combine(logits.softmax(0))

    def _risk(self, task: str, parameter: nn.Parameter, gradient: Tensor) -> Tensor:
        """Of a task in a parameter; its square is added to the sum."""
        squares = gradient.square()
        name = self._names[parameter]
        self._squares[task][name] = self._squares[task].get(name, 0) + squares
        return (squares / (self._squares[task][name] + SMALLEST).sqrt()).sum()

    def _ascend(self, risks: Mapping[str, float]) -> None:
        """The step of the logits of the tasks that are present and past their warm-up; their sum of weights stays."""
        moved = []
        for task, risk in risks.items():
            if self._steps[task] < self.warm_up_steps:
                self._first[task] += risk / self.warm_up_steps
            else:
                moved.append((task, self.step_size * risk / (self._first[task] + SMALLEST)))
            self._steps[task] += 1
        if not moved:
            return
        before = torch.tensor([self._logits[task] for task, _ in moved], dtype=torch.float64)
        after = before + torch.tensor([rise for _, rise in moved], dtype=torch.float64)
        after += before.logsumexp(0) - after.logsumexp(0)
        self._logits.update(zip([task for task, _ in moved], after.tolist(), strict=True))

    def weights(self) -> Mapping[str, float | Tensor]:
        """Of the tasks that share something, as if all shared it; 1 for the others. The Config's weight is included."""
        sharing = [task for task in self._task_weights if task in self._sharing]
        shares = torch.tensor([self._logits[task] for task in sharing], dtype=torch.float64).softmax(0).tolist()
        own = dict(zip(sharing, shares, strict=True))
        return {task: weight * own.get(task, 1.0) for task, weight in self._task_weights.items()}

    def state_dict(self) -> dict[str, Any]:
        squares = {task: dict(own) for task, own in self._squares.items()}
        return {
            "squares": squares,
            "steps": dict(self._steps),
            "first": dict(self._first),
            "logits": dict(self._logits),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        devices = {name: parameter.device for parameter, name in self._names.items()}
        self._squares = {
            task: {name: squares.to(devices[name]) for name, squares in own.items()}
            for task, own in state["squares"].items()
        }
        self._steps, self._first, self._logits = dict(state["steps"]), dict(state["first"]), dict(state["logits"])
