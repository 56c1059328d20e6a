"""Margins around the crop: batches that have them, and crops around the tumour whose margins are cut at random.

What training sees of a scan is cut out of a larger part of it, after the movements of the augmentation (Andrearczyk et
al. 2021, section 2.3), so that shifts and rotations bring in anatomy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from branchpoint.datasets.batch import Batch, CutLimits

_LEAST_SPREAD = 1e-6


def training_loader(prepared: Any) -> Callable[[Sequence[int] | np.ndarray], Batch]:
    """What loads the batches of a training step: with margins, where the cohort keeps any."""
    load: Callable[[Sequence[int] | np.ndarray], Batch] = getattr(prepared, "training_batch", prepared.batch)
    return load


def cuts_margins(prepared: Any) -> bool:
    """Whether the cohort holds crops around a tumour, whose margins are cut in training."""
    return bool(getattr(prepared, "cuts_margins", False))


def cropped(batch: Batch) -> Batch:
    """``batch`` without its margins."""
    if not any(batch.margin_voxels):
        return replace(batch, margin_voxels=(), cuts=None)
    sides = tuple(slice(m, -m) if m else slice(None) for m in batch.margin_voxels)
    image = batch.inputs["image"]
    targets = {
        name: target[(..., *sides)].contiguous() if target.dim() == image.dim() else target
        for name, target in batch.targets.items()
    }
    inputs = {**batch.inputs, "image": image[(..., *sides)].contiguous()}
    return replace(batch, inputs=inputs, targets=targets, margin_voxels=(), cuts=None)


def draw_cuts(count: int, axes: int, generator: torch.Generator) -> Tensor:
    """float32 (count, axes, 2): of each end of each axis, the share of the largest cut, uniform from 0 to 1."""
    return torch.rand(count, axes, 2, generator=generator)


@torch.no_grad()
def cut_margins(batch: Batch, shares: Tensor) -> tuple[Batch, Tensor]:
    """Cut the margins of crops around a tumour, and how far each sample must then be shifted to lie centred again.

    What is cut off becomes background, and channels that have zero mean and unit variance over what is shown get them
    anew over what is left.

    Args:
        shares: float (B, axes, 2), as :func:`draw_cuts` gives them.

    Returns:
        The batch, and the shifts, int64 (B, axes), in voxels; the content moves towards higher indices.
    """
    assert batch.cuts is not None
    limits = batch.cuts
    cuts = (shares * limits.largest_voxels).round().long()
    boxes = torch.stack([limits.shown[..., 0] + cuts[..., 0], limits.shown[..., 1] - cuts[..., 1]], dim=2)
    shifts = ((cuts[..., 1] - cuts[..., 0]) / 2).round().long()
    inputs, targets = dict(batch.inputs), dict(batch.targets)
    names = ("image", "intensity_offset", "intensity_scale", "intensity_background")
    inputs |= {name: inputs[name].clone() for name in names}
    dense = [name for name, target in targets.items() if target.dim() == inputs["image"].dim()]
    targets |= {name: targets[name].clone() for name in dense}
    cut_batch = replace(batch, inputs=inputs, targets=targets)
    for row in torch.nonzero(cuts.flatten(1).any(1)).flatten().tolist():
        _cut(cut_batch, row, boxes[row].tolist(), shifts[row].tolist(), dense, limits)
    return cut_batch, shifts


def _cut(
    batch: Batch, row: int, box: list[list[int]], shift: list[int], dense: Sequence[str], limits: CutLimits
) -> None:
    """Change one row of ``batch`` in place."""
    image = batch.inputs["image"][row]
    kept = tuple(slice(first, max(first, last)) for first, last in box)
    background = batch.inputs["intensity_background"][row]
    inner = image[(slice(None), *kept)].clone()
    image[:] = background.view(-1, *[1] * (image.dim() - 1))
    image[(slice(None), *kept)] = inner
    for name in dense:
        target = batch.targets[name][row, 0]
        part = target[kept].clone()
        target.fill_(batch.outside.get(name, 0))
        target[kept] = part
    visible = tuple(
        slice(max(s.start, m - move), min(s.stop, n - m - move))
        for s, m, n, move in zip(kept, batch.margin_voxels, image.shape[1:], shift, strict=True)
    )
    seen = image[(slice(None), *visible)].flatten(1)
    if seen.shape[1] < 2:
        return
    for channel in torch.nonzero(limits.standardized).flatten().tolist():
        mean, spread = seen[channel].mean(), seen[channel].std(correction=0)
        if spread < _LEAST_SPREAD:
            continue
        image[channel] = (image[channel] - mean) / spread
        batch.inputs["intensity_offset"][row, channel] += batch.inputs["intensity_scale"][row, channel] * mean
        batch.inputs["intensity_scale"][row, channel] *= spread
        background[channel] = (background[channel] - mean) / spread
