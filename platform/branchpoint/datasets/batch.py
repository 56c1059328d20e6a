"""``Batch``: what a training step gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

UNCHANGED_IMAGE = "image_before_intensity"
"""Input that training adds for tasks that restore it: the moved image before its intensities change at random."""


@dataclass(frozen=True)
class CutLimits:
    """Limits of what may be cut off B samples that were cropped around the tumour.

    Attributes:
        shown: int64 (B, 3, 2), first voxel of the crop and first behind it, margins counted.
        largest_voxels: float32 (B, 3, 2), how much may be cut at either end.
        standardized: bool (C,), channels that have zero mean and unit variance over what is shown.
    """

    shown: Tensor
    largest_voxels: Tensor
    standardized: Tensor


@dataclass(frozen=True)
class Batch:
    """B samples on one grid.

    Attributes:
        inputs: ``image`` float32 (B, C, [D,] H, W), normalised; ``intensity_offset`` and ``intensity_scale``
            float32 (B, C), with ``image * scale + offset`` in HU or SUV (pictures: from 0, black, to 1, white);
            ``intensity_background`` float32 (B, C), the normalised value of air, zero SUV or black; ``voxel_ml``
            float32 (B,).
        targets: target name to tensor: segmentation uint8 class ids (B, 1, [D,] H, W), 255 where a pixel has none
            (:data:`branchpoint.datasets.cohort.IGNORED`); survival float32 (B, 2), time in days and event 0/1;
            classification int64 (B,); multilabel float32 (B, K), 0 or 1; regression float32 (B,).
            Where a sample is unlabelled the values are zero.
        labelled: target name to bool (B,).
        index: int64 (B,), position of each sample in the prepared cohort.
        outside: segmentation target to the class of what lies outside the image; 0 where it is not among them.
        margin_voxels: along ([D,] H, W), what images and masks of a batch for training have beyond the grid on both
            sides; empty: nothing.
        cuts: what training may cut off the samples; ``None``: nothing.
    """

    inputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    labelled: Mapping[str, Tensor]
    index: Tensor
    outside: Mapping[str, int] = field(default_factory=dict)
    margin_voxels: tuple[int, ...] = ()
    cuts: CutLimits | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the samples, which must be without margins; tensors share their memory."""

        def cut(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor[rows] for name, tensor in tensors.items()}

        return replace(
            self,
            inputs=cut(self.inputs),
            targets=cut(self.targets),
            labelled=cut(self.labelled),
            index=self.index[rows],
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""

        def move(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

        return replace(
            self,
            inputs=move(self.inputs),
            targets=move(self.targets),
            labelled=move(self.labelled),
            index=self.index.to(device),
        )
