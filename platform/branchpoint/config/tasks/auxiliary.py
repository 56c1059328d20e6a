"""Tasks that are learned for the sake of others: their targets follow from the image, or from where it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from branchpoint.config.tasks.base import Name, NotNegative, Reversal, TaskConfig
from branchpoint.values import ADDED, Distinct, Length, Range, require

if TYPE_CHECKING:
    from branchpoint.config.dataset import DatasetConfig
    from branchpoint.config.network import NetworkConfig


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig(TaskConfig):
    """The image itself, as an auxiliary task: every image teaches it, labelled or not.

    Attributes:
        channels: of the image.
        loss: squared (``mse``) or absolute (``mae``) error of normalised intensities.
        restore: learn the image as it was before the random changes of intensity (noise, blur, cut-outs, dropped
            channels): by itself, a pre-training on unlabelled images (Models Genesis, Zhou et al. 2021, section 3).
    """

    kind: ClassVar[str] = "reconstruction"
    dense: ClassVar[bool] = True
    auxiliary: ClassVar[bool] = True
    bounded_metric: ClassVar[bool] = False

    target: Name = "image"
    channels: Annotated[int, Range(at_least=1, at_most=1024)]
    loss: Literal["mse", "mae"] = "mse"
    restore: bool = field(default=False, metadata=ADDED)

    def check_in(self, dataset: DatasetConfig, network: NetworkConfig) -> None:
        super().check_in(dataset, network)
        require(
            self.channels == network.in_channels,
            self.place_of("channels"),
            self.channels,
            f"network.in_channels is {network.in_channels}",
        )


@dataclass(frozen=True, kw_only=True)
class HogConfig(TaskConfig):
    """The picture's histogram of oriented gradients, which every picture teaches (Bhattarai et al. 2022).

    The released code's sizes: (orientations, cell) of (9, 8), (6, 8), (4, 8), (9, 16) and (6, 16) give 3780, 2520,
    1680, 756 and 504 values.

    Attributes:
        orientations: bins of half a turn.
        cell: pixels along each axis of a cell; 2 x 2 cells are a block.
        window: (H, W) that pictures are resized to first.
        zero_target: learn zeros instead: what the released code trains, whose cast to integers turns every value
            into 0. The control that tells the descriptor's worth from that of a head with a squared loss.
    """

    kind: ClassVar[str] = "hog"
    auxiliary: ClassVar[bool] = True
    bounded_metric: ClassVar[bool] = False
    describes_image: ClassVar[bool] = True

    target: Name = "image"
    orientations: Annotated[int, Range(at_least=1, at_most=360)] = 6
    cell: Annotated[int, Range(at_least=1, at_most=1024)] = 16
    window: tuple[Annotated[int, Range(at_least=1, at_most=4096)], Annotated[int, Range(at_least=1, at_most=4096)]] = (
        128,
        64,
    )
    zero_target: bool = False

    def check(self) -> None:
        require(
            min(self.window) >= 2 * self.cell,
            self.place_of("window"),
            self.window,
            f"must hold a block of 2 x 2 cells, {2 * self.cell} pixels along each axis",
        )

    def check_in(self, dataset: DatasetConfig, network: NetworkConfig) -> None:
        super().check_in(dataset, network)
        size = dataset.size_voxels
        require(len(size) == 2, f"tasks.{self.name}", self.kind, f"is for pictures; dataset.size_voxels is {size}")


@dataclass(frozen=True, kw_only=True)
class DomainConfig(TaskConfig):
    """Where an image was made (centre or vendor), learned against the network: its gradient is reversed where it
    enters the encoder, so that features say little of the domain (Ganin et al. 2016).

    Attributes:
        domains: names of the centres; images from elsewhere do not count.
        strength: what the gradient is multiplied by, reversed.
        ramp: raise the strength from 0 over the budget as 2 / (1 + exp(-10 progress)) - 1 (Ganin et al., 5.2.2).
    """

    kind: ClassVar[str] = "domain"
    auxiliary: ClassVar[bool] = True
    bounded_metric: ClassVar[bool] = False

    target: Name = "center"
    domains: Annotated[tuple[str, ...], Distinct(), Length(at_least=2, at_most=10_000)]
    strength: NotNegative = 1.0
    ramp: bool = True

    @property
    def reversal(self) -> Reversal:
        return Reversal(self.strength, self.ramp)

    @property
    def centers(self) -> tuple[str, ...]:
        return self.domains

    @property
    def sees_clinical(self) -> bool:
        return False
