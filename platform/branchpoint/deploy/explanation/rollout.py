"""Attention rollout (Abnar and Zuidema 2020): where the attention of a transformer's layers comes from, in the end.

Each layer passes on the mean of its input and of what its heads attend to, so that tokens mix by (I + A) / 2, A the
mean over the heads. The product of all layers says how much each first token counts for the last ones. It is taken
from the last layer downwards, as a vector: windowed attention is sparse, and whole matrices would not fit. Where a
stage halves its maps, a voxel hands its share to the voxels that it covers. Rollout knows neither class nor sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from branchpoint.networks.encoders.swin import WindowAttention, merge_windows, split_windows
from branchpoint.networks.network import Network, prefix_of


def has_rollout(network: Network) -> bool:
    """Whether the network has layers of windowed attention (``resformer_*``)."""
    return any(isinstance(module, WindowAttention) for module in network.modules())


@dataclass
class _Seen:
    """Inputs of the attention layers, in the order in which they ran."""

    layers: list[tuple[WindowAttention, Tensor]] = field(default_factory=list)

    def keep(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        assert isinstance(module, WindowAttention)
        self.layers.append((module, arguments[0].detach()))


def attention_rollout(network: Network, deepest: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """float32 ([D,] H, W), summing to 1, at the size of the first attention layer's maps.

    Args:
        network: in evaluation mode.
        deepest: stage that the task's head averages; its tokens count alike.
        inputs: ``Batch.inputs`` of one sample.

    Raises:
        ValueError: no attention leads to ``deepest``.
    """
    chain = _chain(network, deepest)
    seen = _Seen()
    hooks = [module.register_forward_pre_hook(seen.keep) for module in chain]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen.layers:
        raise ValueError("no layer of attention leads to this task; use gradcam or integrated-gradients")
    share = torch.full(seen.layers[-1][1].shape[1:-1], 1.0)
    share /= share.numel()
    for layer, x in reversed(seen.layers):
        share = _spread(share, tuple(x.shape[1:-1]))
        share = (share + _through(layer, x, share)) / 2
    return share / share.sum()  # what padding beyond the maps attracted is left out


def _chain(network: Network, deepest: nn.Module) -> list[WindowAttention]:
    """Layers of the stages on the way to ``deepest``."""
    modules = [network.get_submodule(prefix_of(step)) for step in network.plan]
    place = next(place for place, module in enumerate(modules) if module is deepest)
    found: list[WindowAttention] = []
    while place >= 0:
        found += [layer for layer in modules[place].modules() if isinstance(layer, WindowAttention)]
        place = network.plan[place].below
    return found


def _spread(share: Tensor, size: tuple[int, ...]) -> Tensor:
    """``share`` handed to the finer voxels that each voxel covers."""
    if tuple(share.shape) == size:
        return share
    finer = F.interpolate(share[None, None], size=size, mode="nearest")[0, 0]
    return finer / finer.sum() * share.sum()


def _through(layer: WindowAttention, x: Tensor, share: Tensor) -> Tensor:
    """``share`` of the layer's outputs as share of its inputs: the transposed attention, window by window."""
    attention, padded, shifts = layer.attention(x)
    at = torch.zeros(padded)
    at[tuple(slice(length) for length in share.shape)] = share
    axes = tuple(range(len(padded)))
    at = torch.roll(at, [-shift for shift in shifts], axes)
    rows = split_windows(at[None, ..., None], layer.window)[0, :, :, 0]  # (M, N)
    back = torch.einsum("mn,mnk->mk", rows, attention)
    whole = merge_windows(back[None, ..., None], padded, layer.window)[0, ..., 0]
    whole = torch.roll(whole, list(shifts), axes)
    return whole[tuple(slice(length) for length in share.shape)]
