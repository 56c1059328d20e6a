"""Shifted-window attention (Liu et al. 2021) in two and three dimensions, at any size.

Tensors inside are channels-last: (B, [D,] H, W, C). A window has N = window ** dimensions voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias for each relative position.

    Sizes that the window does not divide are padded; padded voxels take part like others, as in torchvision. Where a
    window covers a whole axis that axis is not shifted.

    Args:
        dimensions: 2 or 3.
        channels: C.
        heads: number of heads; divides C.
        window: voxels along each axis of a window.
        shift: voxels by which windows are shifted (0, or half a window).
    """

    def __init__(self, dimensions: int, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels is {channels}: {heads} attention heads do not divide it")
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** dimensions, heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.bias_index: Tensor
        self.register_buffer("bias_index", relative_index(dimensions, window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[1:-1]
        windows, padded, shifts = self._windows(x)
        x = merge_windows(self._attend(windows, padded, shifts), padded, self.window)
        if any(shifts):
            x = torch.roll(x, shifts, tuple(range(1, 1 + len(size))))
        return x[(slice(None), *(slice(length) for length in size))].contiguous() if padded != tuple(size) else x

    def attention(self, x: Tensor) -> tuple[Tensor, tuple[int, ...], list[int]]:
        """How much each voxel of a window attends to the others, mean over the heads: (M, N, N), for one sample.

        Args:
            x: (1, [D,] H, W, C), as the layer gets it.

        Returns:
            also the padded size, and by how much it was shifted before it was split into windows.
        """
        windows, padded, shifts = self._windows(x)
        query, key, _, bias = self._projected(windows, padded, shifts)
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5 + bias
        return scores.softmax(dim=-1).mean(dim=1), padded, shifts

    def _windows(self, x: Tensor) -> tuple[Tensor, tuple[int, ...], list[int]]:
        """(B, M, N, C) of the padded and shifted ``x``, the padded size, and the shifts."""
        size = x.shape[1:-1]
        padding = [(-length) % self.window for length in size]
        if any(padding):
            x = F.pad(x, (0, 0, *(amount for pad in reversed(padding) for amount in (0, pad))))
        padded = tuple(x.shape[1:-1])
        shifts = [0 if length <= self.window else self.shift for length in padded]
        if any(shifts):
            x = torch.roll(x, [-shift for shift in shifts], tuple(range(1, 1 + len(size))))
        return split_windows(x, self.window), padded, shifts

    def _projected(
        self, windows: Tensor, padded: Sequence[int], shifts: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key and value of each head in ``windows`` (B, M, N, C), and what is added to their scores."""
        batch, count, voxels, _ = windows.shape
        qkv = self.qkv(windows).reshape(batch * count, voxels, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.bias_table[self.bias_index].permute(2, 0, 1).unsqueeze(0)  # (1, heads, N, N)
        if any(shifts):
            apart = shifted_regions(padded, self.window, shifts, windows.device)  # (M, N, N)
            bias = bias + torch.where(apart, -100.0, 0.0).to(bias.dtype).unsqueeze(1)
            bias = bias.repeat(batch, 1, 1, 1)
        query, key, value = qkv.unbind(0)
        return query, key, value, bias.to(qkv.dtype)

    def _attend(self, windows: Tensor, padded: Sequence[int], shifts: Sequence[int]) -> Tensor:
        """Attention within ``windows`` (B, M, N, C)."""
        query, key, value, bias = self._projected(windows, padded, shifts)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(attended.transpose(1, 2).reshape(windows.shape))


class SwinBlock(nn.Module):
    """LayerNorm -> window attention -> sum; LayerNorm -> two linear layers with GELU -> sum (Liu et al., eq. 3)."""

    def __init__(self, dimensions: int, channels: int, heads: int, window: int, shift: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels, eps=1e-5), nn.LayerNorm(channels, eps=1e-5)
        self.attention = WindowAttention(dimensions, channels, heads, window, shift)
        self.mlp = nn.Sequential(
            nn.Linear(channels, ratio * channels), nn.GELU(), nn.Linear(ratio * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class SwinStage(nn.Module):
    """A block with plain windows, then one with shifted windows, on (B, C, [D,] H, W)."""

    def __init__(self, dimensions: int, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.plain = SwinBlock(dimensions, channels, heads, window, 0)
        self.shifted = SwinBlock(dimensions, channels, heads, window, window // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.shifted(self.plain(x.movedim(1, -1))).movedim(-1, 1).contiguous()


def relative_index(dimensions: int, window: int) -> Tensor:
    """Row of the bias table for each pair of voxels in a window: int64 (N, N)."""
    voxels = torch.tensor(list(product(range(window), repeat=dimensions)))
    offsets = voxels[:, None] - voxels[None] + window - 1
    strides = torch.tensor([(2 * window - 1) ** i for i in reversed(range(dimensions))])
    return (offsets * strides).sum(-1)


def split_windows(x: Tensor, window: int) -> Tensor:
    """(B, [D,] H, W, C) to (B, windows, N, C)."""
    batch, *size, channels = x.shape
    parts = [part for length in size for part in (length // window, window)]
    x = x.reshape(batch, *parts, channels)
    axes = range(1, 1 + 2 * len(size))
    x = x.permute(0, *axes[::2], *axes[1::2], 1 + 2 * len(size))
    return x.reshape(batch, -1, window ** len(size), channels)


def merge_windows(windows: Tensor, size: Sequence[int], window: int) -> Tensor:
    """The inverse of :func:`split_windows`."""
    batch, _, _, channels = windows.shape
    counts = [length // window for length in size]
    x = windows.reshape(batch, *counts, *(window,) * len(size), channels)
    axes = [axis for i in range(len(size)) for axis in (1 + i, 1 + len(size) + i)]
    return x.permute(0, *axes, 1 + 2 * len(size)).reshape(batch, *size, channels)


def shifted_regions(size: Sequence[int], window: int, shifts: Sequence[int], device: torch.device) -> Tensor:
    """Pairs of voxels that the cyclic shift put into one window although they lie apart: bool (windows, N, N)."""
    region = torch.zeros(1, *size, 1, device=device)
    for axis, (length, shift) in enumerate(zip(size, shifts, strict=True), start=1):
        if shift:
            position = torch.arange(length, device=device)
            part = (position >= length - window).float() + (position >= length - shift).float()
            region = 3 * region + part.reshape([length if i == axis else 1 for i in range(len(size) + 2)])
    labels = split_windows(region, window)[0, :, :, 0]
    return labels[:, :, None] != labels[:, None]
