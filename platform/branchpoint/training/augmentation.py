"""Random shift, sagittal mirror and rotation (paper 003, 2.3) of whole batches, on the batch's device.

Parameters are drawn first (:func:`make_params`) and applied without any randomness (:func:`apply_params`), so that
a draw can be kept, replayed, or divided among workers. Shifts are by whole voxels along every axis and rotations turn
the axial plane (images: the image plane) about its centre. All slices of a sample then share one two-dimensional
map, and mirror, rotation and in-plane shift are a single bilinear resampling of all its channels and slices; the shift
along the body only moves slices. On the CPU that is 8.4 ms for two channels of 96 cubed with their mask on one core,
against 107 ms for the same by trilinear resampling of the volume.

What comes in from outside is each channel's own background (air, zero SUV), not zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from branchpoint.config import AugmentationConfig
from branchpoint.datasets.batch import Batch


@dataclass(frozen=True)
class AugmentationParams:
    """What is done to each of B samples.

    Attributes:
        shift_voxels: int64 (B, 3) or (B, 2), along ([D,] H, W); the content moves towards higher indices.
        mirror: bool (B,), whether the last axis (left and right) is mirrored.
        angle_rad: float32 (B,), rotation in the plane of the last two axes, from W towards H.
    """

    shift_voxels: Tensor
    mirror: Tensor
    angle_rad: Tensor

    def __len__(self) -> int:
        return len(self.mirror)

    def __getitem__(self, rows: slice) -> AugmentationParams:
        """The parameters of some of the samples: a worker's part of a global batch."""
        return AugmentationParams(self.shift_voxels[rows], self.mirror[rows], self.angle_rad[rows])


def make_params(
    count: int, dimensions: int, config: AugmentationConfig, spacing_mm: float, generator: torch.Generator
) -> AugmentationParams:
    """Draw for ``count`` samples: shifts and angles are uniform, half of the samples are mirrored.

    A generator on the CPU draws the same for every device, and spares a GPU the wait for the draws.
    """
    device = generator.device
    largest = int(config.shift_mm / spacing_mm + 1e-6)
    shift = torch.randint(-largest, largest + 1, (count, dimensions), generator=generator, device=device)
    mirror = torch.rand(count, generator=generator, device=device) < 0.5
    turn = 2 * torch.rand(count, generator=generator, device=device) - 1
    return AugmentationParams(shift, mirror & config.mirror, turn * math.radians(config.rotation_degrees))


def augment(batch: Batch, config: AugmentationConfig, spacing_mm: float, generator: torch.Generator) -> Batch:
    """A changed copy of ``batch``: the image and all masks move together, everything else is as it was."""
    image = batch.inputs["image"]
    return apply_params(batch, make_params(len(image), image.dim() - 2, config, spacing_mm, generator))


@torch.no_grad()
def apply_params(batch: Batch, params: AugmentationParams) -> Batch:
    """The batch after the moves of ``params``: images bilinear, masks nearest neighbour."""
    image = batch.inputs["image"]
    flat = image.dim() == 4
    background = batch.inputs.get("intensity_background")
    if background is None:
        background = image.flatten(2).amin(dim=2)
    grid = _grid(params, image)
    shifts = [0] * len(params) if flat else params.shift_voxels[:, 0].tolist()
    moved = _move_images(image.unsqueeze(2) if flat else image, background, grid, shifts)
    targets = dict(batch.targets)
    for name, target in batch.targets.items():
        if target.dim() == image.dim():
            outside = batch.outside.get(name, 0)
            mask = _move_masks(target.unsqueeze(2) if flat else target, grid, shifts, outside)
            targets[name] = mask.squeeze(2) if flat else mask
    return replace(batch, inputs={**batch.inputs, "image": moved.squeeze(2) if flat else moved}, targets=targets)


def _grid(params: AugmentationParams, image: Tensor) -> Tensor:
    """float32 (B, H, W, 2): where each pixel comes from, (x, y) from -1 to 1 between the outer edges."""
    height, width = image.shape[-2:]
    cos, sin = params.angle_rad.cos(), params.angle_rad.sin()
    down, right = params.shift_voxels[:, -2].float(), params.shift_voxels[:, -1].float()
    # In pixels from the centre: undo the shift, then the rotation, then the mirror.
    from_x = torch.stack([cos, sin * height / width, -(cos * right + sin * down) * 2 / width], dim=1)
    from_y = torch.stack([-sin * width / height, cos, (sin * right - cos * down) * 2 / height], dim=1)
    from_x = torch.where(params.mirror[:, None], -from_x, from_x)
    theta = torch.stack([from_x, from_y], dim=1).to(image.device, non_blocking=True)
    return F.affine_grid(theta, [len(params), 1, height, width], align_corners=False)


def _move_images(image: Tensor, background: Tensor, grid: Tensor, shifts: list[int]) -> Tensor:
    """(B, C, D, H, W) after the move."""
    inside = F.grid_sample(torch.ones_like(image[:, :1, 0]), grid, align_corners=False)
    filling = (1 - inside)[:, :, None] * background[:, :, None, None, None]
    moved = torch.empty_like(image, memory_format=torch.contiguous_format)
    for row, shift in enumerate(shifts):
        source, target = _slices(shift, image.shape[2])
        # Channels are the samples of this call, slices its channels: they share one map, and none is copied.
        seen = F.grid_sample(image[row, :, source], grid[row].expand(image.shape[1], -1, -1, -1), align_corners=False)
        torch.add(seen, filling[row], out=moved[row, :, target])
        for empty in (slice(0, target.start), slice(target.stop, None)):
            moved[row, :, empty] = background[row, :, None, None, None]
    return moved


def _move_masks(mask: Tensor, grid: Tensor, shifts: list[int], outside: int) -> Tensor:
    """(B, 1, D, H, W) after the move; ``outside`` where nothing was."""
    height, width = mask.shape[-2:]
    x = torch.round((grid[..., 0] + 1) * width / 2 - 0.5).long()
    y = torch.round((grid[..., 1] + 1) * height / 2 - 0.5).long()
    inside = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).flatten(1)
    pixel = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).flatten(1)
    moved = torch.full_like(mask, outside, memory_format=torch.contiguous_format)
    for row, shift in enumerate(shifts):
        source, target = _slices(shift, mask.shape[2])
        seen = mask[row, 0, source].flatten(1)
        values = seen.gather(1, pixel[row].expand(len(seen), -1)).where(inside[row], outside)
        moved[row, 0, target] = values.view(-1, height, width)
    return moved


def _slices(shift: int, size: int) -> tuple[slice, slice]:
    """Slices that stay in sight, before and after a shift."""
    shift = max(-size, min(size, shift))
    return slice(max(0, -shift), size - max(0, shift)), slice(max(0, shift), size + min(0, shift))
