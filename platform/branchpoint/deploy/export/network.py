"""A network of a bundle as other tools take it: named tensors in, a tensor for each task out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from branchpoint.config import Config
from branchpoint.deploy.bundle.tasks import predicted_tasks
from branchpoint.networks.network import Network
from branchpoint.tasks import Task, build_task


class Exported(nn.Module):
    """What :class:`branchpoint.deploy.prediction.networks.Ensemble` makes of one network's logits, in torch alone.

    Attributes:
        inputs: names of the arguments of ``forward``, in order; ``image`` is the first.
        outputs: names of the tasks, in the order of what ``forward`` gives.
    """

    def __init__(self, network: Network, config: Config) -> None:
        super().__init__()
        self.network = network
        self._tasks: list[Task] = [build_task(task) for task in predicted_tasks(config.tasks)]
        self.outputs = tuple(task.name for task in self._tasks)
        measured = any(cascade.carries == "measurements" for cascade in network.topology.cascades)
        physical = ("intensity_offset", "intensity_scale", "voxel_ml") if measured else ()
        self.inputs = ("image", *(("clinical",) if config.network.clinical else ()), *physical)

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Probabilities of dense tasks (B, outputs, [D,] H, W), of classes and labels (B, K); log-hazards and values
        (B, 1)."""
        logits = self.network(dict(zip(self.inputs, values, strict=True)))
        return tuple(_meaning(task, logits[task.name]) for task in self._tasks)


def _meaning(task: Task, logits: Tensor) -> Tensor:
    kind = task.config.kind
    if kind == "survival":
        return logits.float().reshape(len(logits), -1)[:, :1]
    if kind == "regression":
        value = logits.float().reshape(len(logits), -1)[:, :1]
        return task.config.center + task.config.scale * value  # type: ignore[attr-defined]
    found = task.probabilities(logits)
    assert found is not None
    if kind == "ordinal":
        ends = torch.ones_like(found[:, :1]), torch.zeros_like(found[:, :1])
        steps = torch.cat((ends[0], found, ends[1]), dim=1)
        return steps[:, :-1] - steps[:, 1:]
    return found


class PlainOperators(TorchFunctionMode):
    """What ONNX has no operator for, by others: while it is active, networks compute the same in another way.

    Means over unequal areas (shrinking by a ratio that is no whole number is an adaptive pooling) become products with
    constant matrices, one for each axis. Fused attention, whose kernels lay memory out in ways of their own, becomes
    its definition.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.interpolate and kwargs.get("mode") == "area":
            return _mean_over_areas(args[0], kwargs["size"])
        if function in (F.adaptive_avg_pool2d, F.adaptive_avg_pool3d):
            size = args[1]
            return _mean_over_areas(args[0], (size,) * (args[0].ndim - 2) if isinstance(size, int) else size)
        if function is F.scaled_dot_product_attention and set(kwargs) <= {"attn_mask"}:
            return _attention(*args, **kwargs)
        return function(*args, **kwargs)


def _attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    return (scores if attn_mask is None else scores + attn_mask).softmax(dim=-1) @ value


def _mean_over_areas(x: Tensor, size: Sequence[int]) -> Tensor:
    for axis, new in enumerate(size, start=2):
        old = int(x.shape[axis])
        if old != new:
            x = (x.movedim(axis, -1) @ area_matrix(old, int(new)).to(x)).movedim(-1, axis)
    return x


def area_matrix(old: int, new: int) -> Tensor:
    """(old, new): weights of the mean over each area, whose ends are rounded as by ``adaptive_avg_pool``.

    >>> area_matrix(3, 2)
    tensor([[0.5000, 0.0000],
            [0.5000, 0.5000],
            [0.0000, 0.5000]])
    """
    weights = torch.zeros(old, new)
    for place in range(new):
        start, end = place * old // new, -(-(place + 1) * old // new)
        weights[start:end, place] = 1 / (end - start)
    return weights
