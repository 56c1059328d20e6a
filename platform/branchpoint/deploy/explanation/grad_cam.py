"""Grad-CAM (Selvaraju et al. 2017) in two and three dimensions, on the deepest stage that a task's path looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from branchpoint.networks.network import Network, prefix_of

Score = Callable[[dict[str, Tensor]], Tensor]
"""From the logits of all tasks, each (1, ...), to the one number that is explained."""


def layer_of(network: Network, task: str) -> nn.Module:
    """The module whose maps are explained: the deepest of the stages that the head of ``task`` averages, or that the
    decoder of a mask starts from.

    Raises:
        ValueError: the head looks at no image.
    """
    if task in network.blind:
        raise ValueError(f"{task} is predicted from clinical values alone: there is nothing in the image to explain")
    head = next(step for step in network.plan if step.part == "head" and step.task == task)
    if network.dense[task] or task in network.regressing:
        place = head.path[0] if head.path else head.below
    else:
        place = max(head.taps, default=head.below)
    return network.get_submodule(prefix_of(network.plan[place]))


def grad_cam(network: Network, layer: nn.Module, inputs: Mapping[str, Tensor], score: Score) -> Tensor:
    """float32 ([D,] H, W) at the size of ``layer``'s maps: ReLU of the maps' sum, each weighted by the mean over space
    of the score's gradient (Selvaraju et al. 2017, eq. 1 and 2).

    Args:
        network: in evaluation mode.
        layer: of :func:`layer_of`.
        inputs: ``Batch.inputs`` of one sample.
        score: what is explained.
    """
    with _Recorded(layer) as recorded, torch.enable_grad():
        value = score(network(inputs))
        maps = recorded.output
        (gradient,) = torch.autograd.grad(value, maps, allow_unused=True)
    if gradient is None:
        return torch.zeros(maps.shape[2:])
    weight = gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
    return (weight * maps).sum(dim=1)[0].relu().detach().float().cpu()


def enlarged(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """``values`` ([D,] H, W) by linear interpolation at ``size``."""
    mode = "trilinear" if values.ndim == 3 else "bilinear"
    return F.interpolate(values[None, None], size=size, mode=mode, align_corners=False)[0, 0]


class _Recorded(AbstractContextManager["_Recorded"]):
    """What a module gave in the latest forward pass, with its gradient, also where a later module writes in place."""

    output: Tensor

    def __init__(self, module: nn.Module) -> None:
        self._hook = module.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        self.output = output if output.requires_grad else output.detach().requires_grad_()
        return self.output.clone()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hook.remove()
