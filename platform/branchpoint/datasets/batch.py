"""``Batch``: what a training step gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B samples on one grid.

    Attributes:
        inputs: ``image`` float32 (B, C, [D,] H, W), normalised; ``intensity_offset`` and ``intensity_scale``
            float32 (B, C), with ``image * scale + offset`` in HU or SUV; ``intensity_background`` float32 (B, C),
            the normalised value of air or of zero SUV; ``voxel_ml`` float32 (B,).
        targets: target name to tensor: segmentation uint8 class ids (B, 1, [D,] H, W); survival float32 (B, 2),
            time in days and event 0/1; classification int64 (B,); regression float32 (B,).
            Where a sample is unlabelled the values are zero.
        labelled: target name to bool (B,).
        index: int64 (B,), position of each sample in the prepared cohort.
    """

    inputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    labelled: Mapping[str, Tensor]
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""

        def move(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

        return Batch(move(self.inputs), move(self.targets), move(self.labelled), self.index.to(device))
