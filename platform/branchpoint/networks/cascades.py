"""What one task passes to another: probabilities, features inside its mask, measurements of its mask.

Shapes: B samples, K channels or units, C features, [D,] H, W voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from branchpoint.networks.blocks import global_average, resize

MEASUREMENTS = ("volume", "suv_max", "suv_mean", "total_lesion_glycolysis", "heterogeneity")
MEASURED_INPUTS = ("intensity_offset", "intensity_scale", "voxel_ml")


def probabilities(logits: Tensor) -> Tensor:
    """Sigmoid of a single channel or unit, else softmax over all: (B, K, ...) alike."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def membership(logits: Tensor) -> Tensor:
    """How much each voxel belongs to the predicted mask: float32 (B, 1, ...) in [0, 1], differentiable.

    0 where the foreground probability is below 1/4, 1 above 3/4, and linear between. Probabilities themselves would
    not do: the many background voxels at 0.01 would outweigh a tumour of a few millilitres.
    """
    p = probabilities(logits.float())
    foreground = p if p.shape[1] == 1 else 1 - p[:, :1]
    return (2 * foreground - 0.5).clamp(0, 1)


def measure_mask(mask: Tensor, inputs: Mapping[str, Tensor], channel: int) -> Tensor:
    """Measurements of a mask on the original image, float32 (B, 5), differentiable in the mask.

    In order: volume (ml), maximum and mean of the intensity (SUV for PET), total lesion glycolysis (mean times
    volume), heterogeneity (coefficient of variation). All are 0 for an empty mask. For a mask of zeros and ones they
    are exact; a mask of less than one voxel counts as that share of one. Negative intensities, which interpolation
    leaves, count as 0.

    Args:
        mask: (B, 1, [D,] H, W) in [0, 1].
        inputs: ``image``, ``intensity_offset``, ``intensity_scale`` and ``voxel_ml`` of ``Batch.inputs``.
        channel: the channel of the image that is measured.

    Raises:
        ValueError: ``inputs`` lack what physical units need.
    """
    missing = [name for name in MEASURED_INPUTS if name not in inputs]
    if missing:
        raise ValueError(f"inputs lack {', '.join(missing)}: a cascade of measurements needs physical units")
    image, offset, scale = (
        inputs[name][:, channel].float() for name in ("image", "intensity_offset", "intensity_scale")
    )
    weight = mask.flatten(1)
    intensity = torch.addcmul(offset[:, None], image.flatten(1), scale[:, None]).clamp(min=0)
    total = weight.sum(dim=1)
    weighted = weight * intensity
    mean = weighted.sum(dim=1) / total.clamp(min=1)
    share = total.clamp(max=1)  # below one voxel everything fades to 0, so that no gradient explodes
    positive = torch.where(total > 1e-30, total, 1)
    inside = weighted.sum(dim=1) / positive
    variance = (weight * (intensity - inside[:, None]).square()).sum(dim=1) / positive
    # The square root has no gradient at 0, where a mask is empty or flat.
    deviation = torch.where(variance > 0, variance, 1).sqrt() * (variance > 0)
    heterogeneity = share * deviation / torch.where(inside > 0, inside, 1)
    volume = total * inputs["voxel_ml"].float()
    return torch.stack((volume, weighted.amax(dim=1), mean, mean * volume, heterogeneity), dim=1)


def measurement_features(measurements: Tensor) -> Tensor:
    """(B, 5) of :func:`measure_mask`, on scales near 1: log(1 + x) of all but the heterogeneity, which is a ratio."""
    return torch.cat((measurements[:, :4].log1p(), measurements[:, 4:]), dim=1)


def pool_inside(features: Sequence[Tensor], mask: Tensor) -> list[Tensor]:
    """Means of each (B, C, ...) inside ``mask`` (B, 1, ...), brought to its size: (B, C) each; 0 for an empty mask."""
    pooled = []
    for values in features:
        weight = resize(mask, values.shape[2:]).to(values.dtype)
        one_voxel = values[0, 0].numel() / mask[0, 0].numel()  # of the mask, where features are coarser
        total = weight.flatten(1).sum(dim=1, keepdim=True).clamp(min=one_voxel)
        pooled.append((values * weight).flatten(2).sum(dim=2) / total)
    return pooled


def as_map(values: Tensor, size: Sequence[int]) -> Tensor:
    """``values`` at spatial ``size``: maps are resized, numbers (B, K) repeated at every voxel."""
    if values.ndim == 2:
        return values.reshape(*values.shape, *(1,) * len(size)).expand(*values.shape, *size)
    return resize(values, size)


def as_numbers(values: Tensor) -> Tensor:
    """Mean and maximum of maps, (B, K, ...) to (B, 2 K); numbers (B, K) as they are."""
    if values.ndim == 2:
        return values
    return torch.cat((global_average(values), values.flatten(2).amax(dim=2)), dim=1)
