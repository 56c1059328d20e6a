"""How samples become what a network sees, and how its predictions come back: one type for volumes, one for pictures.

A :class:`Preparation` holds by name and value all that decides what a network is given: nothing depends on the
dataset's name or reader, so that it can be written into a bundle and applied to the next patient's files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import DatasetConfig
from branchpoint.config.serialization import from_plain, to_plain
from branchpoint.datasets.cohort import Cohort, Patient
from branchpoint.datasets.input_hashes import InputHashes
from branchpoint.datasets.preparation.native import NativeMask, NativeProbabilities
from branchpoint.datasets.preparation.placement import PicturePlacement, VolumePlacement
from branchpoint.datasets.preparation.volume_files import Grid

if TYPE_CHECKING:
    from branchpoint.datasets.problems.problem import Problem
    from branchpoint.datasets.reader import Reader

Placement = VolumePlacement | PicturePlacement
STORAGE = np.float16
"""Precision of prepared images, at training and at prediction; pictures of 8 bits stay as they are."""


@dataclass(frozen=True)
class Cuts:
    """Limits of what training may cut off a scan that was cropped around the tumour.

    Attributes:
        shown: along (D, H, W), the first voxel of the crop on the grid with its margin, and the first behind it.
        largest_mm: along (D, H, W), how much may be cut at the lower and the upper end.
    """

    shown: tuple[tuple[int, int], ...]
    largest_mm: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Prepared:
    """One sample on the prepared grid.

    Attributes:
        image: (C, [D,] H, W) as it is stored: float16, normalised; pictures of 8 bits uint8, as in the file. With
            ``margin_voxels`` more on both sides where the margin was asked for.
        masks: uint8 (T, [D,] H, W), class ids of the T segmentation targets; zero where unlabelled.
        offset, scale, background: float32 (C,); ``normalised image * scale + offset`` is in HU or SUV (pictures: from
            0, black, to 1, white), ``background`` is the normalised value of air, zero SUV or black.
        placement: where the grid lies on the input.
        rule: how that place was found: ``box``, ``brain``, ``head``, ``extent`` or ``crop``.
        mask_ml: segmentation target to the volume of its outline in the file.
        kept_ml: the same after resampling, inside the window.
        lost_mask: segmentation target to the share of its outline that lies outside the window.
        native: segmentation target to its mask on the file's own grid.
        present: segmentation target to the class ids in the used part of its file; of pictures.
        margin_voxels: what ``image`` and ``masks`` have beyond the grid, along ([D,] H, W).
        cuts: what training may cut off; ``None``: nothing.
    """

    image: np.ndarray
    masks: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    background: np.ndarray
    placement: Placement
    rule: str
    mask_ml: Mapping[str, float] = field(default_factory=dict)
    kept_ml: Mapping[str, float] = field(default_factory=dict)
    lost_mask: Mapping[str, float] = field(default_factory=dict)
    native: Mapping[str, NativeMask] = field(default_factory=dict)
    present: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    margin_voxels: tuple[int, ...] = ()
    cuts: Cuts | None = None

    def inputs(self, voxel_ml: float) -> dict[str, Tensor]:
        """``Batch.inputs`` of this sample alone (B = 1), equal to what a training's cache gives."""
        offset, scale, background = (torch.from_numpy(v)[None] for v in (self.offset, self.scale, self.background))
        stored = without_margin(torch.from_numpy(self.image), self.margin_voxels)
        return {
            "image": normalized(stored, offset[0], scale[0])[None].float(),
            "intensity_offset": offset,
            "intensity_scale": scale,
            "intensity_background": background,
            "voxel_ml": torch.full((1,), voxel_ml),
        }


def normalized(stored: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
    """(C, [D,] H, W) as the network sees it: what is kept in 8 bits is normalised by offset and scale (C,)."""
    if stored.dtype != torch.uint8:
        return stored
    shape = (-1, *[1] * (stored.dim() - 1))
    return (stored.float() / 255 - offset.view(shape)) / scale.view(shape)


def without_margin(stored: Tensor, margin_voxels: Sequence[int]) -> Tensor:
    """(..., [D,] H, W) without ``margin_voxels`` on both sides of the last axes."""
    sides = [slice(m, -m) if m else slice(None) for m in margin_voxels]
    return stored[(..., *sides)]


class Preparation(ABC):
    """How samples are checked, named in the cache, brought to one grid, and predictions brought back.

    Subclasses are frozen dataclasses: ``dataclasses.replace`` gives, say, the same preparation with a larger grid.

    Attributes:
        kind: ``volume`` or ``picture``.
        modalities: image channels, in order.
        channels: number of channels of each modality.
        spacing_mm, size_voxels: the grid; sizes are (D, H, W), or (H, W) of pictures, which have 1 mm.
        margin_voxels: along ([D,] H, W), what a cache keeps around the grid for training.
    """

    kind: ClassVar[str]
    modalities: tuple[str, ...]
    channels: tuple[int, ...]
    spacing_mm: float
    size_voxels: tuple[int, ...]
    margin_voxels: tuple[int, ...]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel; of pictures 1/1000 for each pixel."""
        return float(self.spacing_mm ** len(self.size_voxels) / 1000)

    @property
    def standardized(self) -> tuple[bool, ...]:
        """Of each channel: whether it has zero mean and unit variance over what the window shows of the scan."""
        return (False,) * sum(self.channels)

    @classmethod
    @abstractmethod
    def of(cls, cohort: Cohort, dataset: DatasetConfig) -> Self:
        """How ``dataset`` asks for the samples of ``cohort`` to be prepared.

        Raises:
            ValueError: ``dataset.size_voxels`` has not as many sizes as the samples have dimensions.
        """

    @staticmethod
    @abstractmethod
    def check(cohort: Cohort, reader: Reader, *, workers: int = 0, progress: bool = False) -> list[Problem]:
        """Read every file of ``cohort``; a row for everything that is wrong with one, or does not fit another."""

    @abstractmethod
    def key(self, patient: Patient, mask_targets: Sequence[str], hashes: InputHashes) -> str:
        """Name in the cache: equal for equal settings and equal contents of the sample's files."""

    @abstractmethod
    def prepare(
        self,
        patient: Patient,
        mask_targets: Sequence[str] = (),
        *,
        opened: Mapping[str, Any] | None = None,
        with_margin: bool = False,
    ) -> Prepared:
        """Bring one sample to the grid. Labels are not needed, and do not change the image.

        Args:
            patient: ``Patient(id=..., images={modality: file})`` will do.
            mask_targets: the segmentation targets, in the order of the masks; those without a label stay empty.
            opened: images that are in memory already, by modality; they replace files. ``SimpleITK.Image`` for
                volumes, (H, W) or (H, W, 3) arrays of 8 or 16 bits for pictures.
            with_margin: keep ``margin_voxels`` around the grid, as caches for training do.

        Raises:
            ValueError: a file is missing or unreadable, or cannot be normalised, or files do not fit together; the
                message names sample, modality or target, and file.
        """

    @abstractmethod
    def place_back(
        self, probabilities: np.ndarray, placement: Placement, *, onto: Grid | str | None = None, outside: int = 0
    ) -> NativeProbabilities:
        """Probabilities on the prepared grid, brought back onto the input's own grid.

        They are interpolated linearly in physical space, channel by channel, within the box that holds all foreground
        probabilities above 0.01.

        Args:
            probabilities: float (K, [D,] H, W); K = 1 is the foreground, K > 1 are the classes from 0.
            placement: as :meth:`prepare` gave it.
            onto: of volumes: the modality whose grid is wanted (the first by default), or a grid, such as that of a
                mask. Pictures have one.
            outside: class of what lies outside the part that was used, where class 0 is no background.
        """

    def plain(self) -> dict[str, Any]:
        """JSON values; :func:`branchpoint.datasets.preparation.kinds.preparation_from_plain` reads them."""
        return dict(to_plain(self))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The preparation that :meth:`plain` gave ``plain`` for; ValueError names what is wrong."""
        return from_plain(cls, plain, "preparation")


def placement_from_plain(plain: Mapping[str, Any]) -> Placement:
    """The placement that ``to_plain`` gave ``plain`` for."""
    if plain.get("kind") == VolumePlacement.kind:
        return from_plain(VolumePlacement, plain, "placement")
    return from_plain(PicturePlacement, plain, "placement")
