"""What every way of combining task losses offers to the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from branchpoint.config import BalancingConfig


@dataclass(frozen=True)
class TaskLoss:
    """The loss of one task over the global batch of one step.

    Attributes:
        share: scalar on the graph; its gradients, added up over all workers, are the gradient of the loss.
        value: scalar off the graph, the loss itself, the same on every worker.
    """

    share: Tensor
    value: Tensor


@dataclass(frozen=True)
class Step:
    """What a balancer gets in a training step.

    Attributes:
        losses: one entry for each trained task with a labelled sample in the global batch; the others are absent.
        network: its parameters are to receive their gradients.
        add_up: sums tensors in place over all workers in one reduction; does nothing for one worker. Every worker
            must call it equally often, in the same order.
        epoch: from 1.
    """

    losses: Mapping[str, TaskLoss]
    network: nn.Module
    add_up: Callable[[Sequence[Tensor]], None]
    epoch: int


class Balancer(ABC):
    """Combines task losses or their gradients.

    A balancer decides alike on every worker: from ``value`` of the losses, from gradients that were added up, or
    from random numbers of a generator seeded alike.

    Attributes:
        config_class: class of its options; its ``method`` names the balancer.
        learning_rate: of :meth:`parameters`, whatever the network's rate is.
        looks_again: the loop calls :meth:`look_again` after each step of the optimiser.
        watches_performance: the loop calls :meth:`watch_performance` after each epoch.
    """

    config_class: ClassVar[type[BalancingConfig]]
    learning_rate: float = 0.025
    looks_again: bool = False
    watches_performance: bool = False

    @classmethod
    def of(cls, config: Any, task_weights: Mapping[str, float], seed: int) -> Balancer:
        """The balancer with the options of ``config``, an instance of :attr:`config_class`.

        Args:
            config: options of the method.
            task_weights: weights of the trained tasks.
            seed: of the methods that draw; the same on every worker.
        """
        return cls(task_weights)  # type: ignore[call-arg]

    @property
    def weights_ahead(self) -> Mapping[str, float] | None:
        """Weights that are known before the losses of a step are, so that gradients can be added up as they come;
        ``None`` where the method needs the losses or gradients of the whole batch."""
        return None

    @abstractmethod
    def backward(self, step: Step) -> None:
        """Leave in every trainable parameter of the network the gradient over the global batch, zero where there
        is none, and likewise in :meth:`parameters`."""

    @abstractmethod
    def weights(self) -> Mapping[str, float | Tensor]:
        """Weight of each task in the last step, for the log."""

    def attach(self, network: nn.Module) -> None:
        """Called once with the network before the first forward pass.

        Raises:
            ValueError: the method does not suit the network.
        """
        return

    def look_again(self, values: Mapping[str, Tensor]) -> None:
        """Losses of the same batch, over all workers, after the step of the optimiser."""
        return

    def watch_performance(self, performance: Mapping[str, float]) -> None:
        """Primary metric of each task on the training samples of the epoch that ended; NaN where undefined."""
        return

    def parameters(self) -> Sequence[nn.Parameter]:
        """What the balancer learns: in the network's optimiser, but never decayed, and at :attr:`learning_rate`."""
        return ()

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values from which the balancer goes on."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state but was given {', '.join(map(repr, state))}")


def collect_gradients(network: nn.Module, add_up: Callable[[Sequence[Tensor]], None]) -> None:
    """Add up the gradients of all workers; parameters that no loss reached get a zero gradient.

    With zeros the optimiser makes the same step on every worker, and no worker waits for a gradient that another
    never sends.
    """
    add_up(complete_gradients(network.parameters()))


def complete_gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """The gradients of the trainable ones of ``parameters``, made zero where there is none."""
    gradients = []
    for parameter in parameters:
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    return gradients
