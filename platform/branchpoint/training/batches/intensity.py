"""Random changes of intensity for whole batches, on the batch's device.

The transformations and their order follow nnU-Net (Isensee et al. 2021, supplementary note 4): colour, brightness and
contrast, gamma, simulated low resolution, blur, noise; then a channel may be dropped and a box cut out. As in
:mod:`branchpoint.training.batches.augmentation`, parameters are drawn first (:func:`draw_intensity`) and applied
without randomness (:func:`apply_intensity`), so that they can be kept, replayed, or divided among workers. Masks stay
as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from branchpoint.config import IntensityAugmentationConfig

BLUR_TRUNCATION = 4.0
"""Radius of the Gaussian kernel, in standard deviations (SciPy's default)."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601), as torchvision has them."""


@dataclass(frozen=True)
class IntensityParams:
    """What is done to each of B samples with C channels.

    Attributes:
        brightness: float32 (B, C), added to the normalised intensities.
        contrast: float32 (B, C), factor about the channel's mean.
        gamma: float32 (B, C), exponent on intensities scaled to [0, 1] by the channel's range.
        inverted: bool (B,), whether the exponent acts on 1 - intensity.
        low_resolution: float32 (B,), factor by which the grid is coarsened and refined again; 1 leaves it.
        blur: float32 (B,), standard deviation of the Gaussian in voxels; 0 leaves it.
        noise: float32 (B,), standard deviation of the noise.
        noise_seed: int64 (B,), of each sample's noise.
        colour: float32 (B, 3, 3), matrix applied to red, green and blue; the identity for images without colours.
        dropped: int64 (B,), the channel that is set to its mean; -1 for none.
        box: float32 (B, 2, dimensions), corner and edges of the box that is cut out, as shares of the image.
    """

    brightness: Tensor
    contrast: Tensor
    gamma: Tensor
    inverted: Tensor
    low_resolution: Tensor
    blur: Tensor
    noise: Tensor
    noise_seed: Tensor
    colour: Tensor
    dropped: Tensor
    box: Tensor

    def __getitem__(self, rows: slice) -> IntensityParams:
        """The parameters of some of the samples: a worker's part of a global batch."""
        return IntensityParams(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def draw_intensity(
    count: int, channels: int, dimensions: int, config: IntensityAugmentationConfig, generator: torch.Generator
) -> IntensityParams:
    """Draw for ``count`` samples; each transformation is applied with the probability of ``config``.

    Every number is drawn whether it is used or not, so that changing one range leaves the other draws as they are.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    def applied(probability: float = config.probability) -> Tensor:
        return uniform() < probability

    drawn_channels = 1 if config.channels_together else channels

    def per_channel() -> Tensor:
        return uniform(drawn_channels).expand(count, channels)

    def log_uniform(largest: float) -> Tensor:
        return torch.where(applied()[:, None], (math.log1p(largest) * (2 * per_channel() - 1)).exp(), 1.0)

    brightness = torch.where(applied()[:, None], config.brightness * (2 * per_channel() - 1), 0.0)
    contrast, gamma, inverted = log_uniform(config.contrast), log_uniform(config.gamma), uniform() < 0.5
    low_resolution = torch.where(applied(), 1 + (config.low_resolution - 1) * uniform(), 1.0)
    blur = torch.where(applied(), config.blur_voxels * uniform(), 0.0)
    noise = torch.where(applied(), config.noise * uniform(), 0.0)
    noise_seed = torch.randint(2**31, (count,), generator=generator)
    colour = torch.where(
        applied()[:, None, None],
        colour_matrix(1 + config.saturation * (2 * uniform() - 1), config.hue_turns * (2 * uniform() - 1)),
        torch.eye(3),
    )
    channel = torch.randint(channels, (count,), generator=generator)
    dropped = torch.where(applied(config.channel_dropout if channels > 1 else 0.0), channel, -1)
    edges = config.cutout * uniform(dimensions) * applied()[:, None]
    box = torch.stack([uniform(dimensions) * (1 - edges), edges], dim=1)
    return IntensityParams(
        brightness, contrast, gamma, inverted, low_resolution, blur, noise, noise_seed, colour, dropped, box
    )


def colour_matrix(saturation: Tensor, hue_turns: Tensor) -> Tensor:
    """(B, 3, 3): saturation as a blend with the grey value, then a rotation about the axis of greys.

    Args:
        saturation: (B,), 0 gives greys and 1 leaves the colours.
        hue_turns: (B,), 1/3 turns red into green.
    """
    grey = torch.tensor(LUMA).expand(3, 3)
    saturated = saturation[:, None, None] * torch.eye(3) + (1 - saturation)[:, None, None] * grey
    angle = (2 * math.pi * hue_turns)[:, None, None]
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    rotation = angle.cos() * torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) / 3
    return rotation @ saturated


@torch.no_grad()
def apply_intensity(image: Tensor, params: IntensityParams) -> Tensor:
    """``image`` (B, C, [D,] H, W), float32, after the changes of ``params``; the given tensor is not changed."""
    changed = image.clone()
    wide = (..., *[None] * (image.ndim - 2))
    coloured = _rows((params.colour != torch.eye(3)).flatten(1).any(1)) if image.shape[1] == 3 else []
    if coloured:
        matrices = params.colour[coloured].to(image)
        changed[coloured] = torch.einsum("bij,bj...->bi...", matrices, changed[coloured])
    for row in _rows(((params.brightness != 0) | (params.contrast != 1)).any(1)):
        factor, shift = (values[row].to(image)[wide] for values in (params.contrast, params.brightness))
        mean = changed[row].flatten(1).mean(1)[wide]
        changed[row].sub_(mean).mul_(factor).add_(mean + shift)
    for row in _rows((params.gamma != 1).any(1)):
        changed[row] = adjust_gamma(changed[row], params.gamma[row].to(image), bool(params.inverted[row]))
    for row in _rows(params.low_resolution > 1):
        changed[row] = coarsen(changed[row], float(params.low_resolution[row]))
    for row in _rows(params.blur > 0):
        changed[row] = gaussian_blur(changed[row], float(params.blur[row]))
    for row in _rows(params.noise > 0):
        generator = torch.Generator(image.device).manual_seed(int(params.noise_seed[row]))
        noise = torch.randn(changed[row].shape, generator=generator, device=image.device, dtype=image.dtype)
        changed[row].add_(noise, alpha=float(params.noise[row]))
    for row in _rows(params.dropped >= 0):
        channel = changed[row, int(params.dropped[row])]
        channel.fill_(channel.mean())
    for row in _rows((params.box[:, 1] > 0).all(1)):
        _cut_out(changed[row], *params.box[row].tolist())
    return changed


def adjust_gamma(channels: Tensor, gamma: Tensor, inverted: bool) -> Tensor:
    """``channels`` (C, ...) scaled to [0, 1] by each channel's range, to the power ``gamma`` (C,), and scaled back."""
    wide = (..., *[None] * (channels.ndim - 1))
    low, high = channels.flatten(1).aminmax(dim=1)
    low, span = low[wide], (high - low).clamp(min=torch.finfo(channels.dtype).tiny)[wide]
    unit = (channels - low) / span
    changed = 1 - (1 - unit) ** gamma[wide] if inverted else unit ** gamma[wide]
    return changed * span + low


def coarsen(channels: Tensor, factor: float) -> Tensor:
    """``channels`` (C, [D,] H, W) sampled on a grid coarser by ``factor`` (nearest) and back again (linear)."""
    size = channels.shape[1:]
    coarse = [max(1, round(length / factor)) for length in size]
    sampled = F.interpolate(channels[None], size=coarse, mode="nearest-exact")
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return F.interpolate(sampled, size=size, mode=mode, align_corners=False)[0]


def gaussian_blur(channels: Tensor, sigma_voxels: float) -> Tensor:
    """``channels`` (C, [D,] H, W) convolved with a Gaussian along each axis; the border value is repeated outside."""
    radius = max(1, int(BLUR_TRUNCATION * sigma_voxels + 0.5))
    offsets = torch.arange(-radius, radius + 1, device=channels.device, dtype=channels.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma_voxels) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(1, channels.ndim):
        moved = channels.movedim(axis, -1)
        rows = F.pad(moved.reshape(-1, 1, moved.shape[-1]), (radius, radius), mode="replicate")
        channels = F.conv1d(rows, kernel[None, None]).reshape(moved.shape).movedim(-1, axis)
    return channels


def _cut_out(channels: Tensor, corner: Sequence[float], edges: Sequence[float]) -> None:
    """Set the box to each channel's mean, in place."""
    sizes = channels.shape[1:]
    box = tuple(
        slice(round(start * size), round((start + edge) * size))
        for start, edge, size in zip(corner, edges, sizes, strict=True)
    )
    wide = (..., *[None] * (channels.ndim - 1))
    channels[(slice(None), *box)] = channels.flatten(1).mean(1)[wide]


def _rows(chosen: Tensor) -> list[int]:
    return chosen.nonzero()[:, 0].tolist()
