"""Encoder, decoder and heads of a run's network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from branchpoint.topology import Topology
from branchpoint.values import ADDED, Checked, Distinct, Length, Range, require


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(Checked):
    """Encoder, decoder and heads; which tasks share them is ``topology``.

    Attributes:
        encoder: name in the registry of ``branchpoint.networks``.
        in_channels: image channels C.
        width: channels W of the first level; level i has ``width * 2**i`` (Andrearczyk et al. 2021: 8).
        depth: number of encoder levels (Andrearczyk et al. 2021: 5).
        unit: normalisation of the residual unit.
        taps: encoder levels whose global average pool feeds image-level heads, the deepest among them; empty means
            all levels.
        hidden_features: units of the dense layer of image-level heads.
        dropout: probability of dropout before each of the two dense layers of image-level heads.
        topology: sharing tree; ``None`` shares every stage among all tasks.
        measured_channel: image channel that cascades of measurements read (1 is PET in CT, PET).
        window: voxels along each axis of an attention window (``resformer_*``; even sizes shift by half).
        dilated_skips: refine what the decoder joins by dilated feature enhancement (``resformer_*``; Bui et al. 2024).
        weights: local file with the weights of a torchvision encoder; empty for random weights.
        regression_units: (task, unit) for image-level tasks that regress a long vector with the units of Bhattarai et
            al. 2022, ``light`` or ``released``: on the bottleneck, or, where the topology leads the task through the
            decoder, on the bottleneck and each decoder stage.
        head_inputs: what image-level tasks are predicted from: features of the ``image``, the ``clinical`` values, or
            ``both``. Regression units and domain tasks see the image alone.
        clinical: names of the covariates that enter where ``head_inputs`` says so, past the hidden layer:
            standardised by the training patients, a missing one replaced by their mean and marked as missing.
        head_kernel: edge of the convolution that ends a dense task, 1 (Andrearczyk et al. 2021) or 3, which sees the
            neighbours of a voxel as well.
    """

    section = "network"

    encoder: Annotated[str, Length(at_least=1, at_most=200)] = "radiomics_unet"
    in_channels: Annotated[int, Range(at_least=1, at_most=1024)] = 2
    width: Annotated[int, Range(at_least=1, at_most=1024)] = 8
    depth: Annotated[int, Range(at_least=1, at_most=10)] = 5
    unit: Literal["senorm", "batchnorm", "instancenorm"] = "senorm"
    taps: Annotated[tuple[int, ...], Distinct()] = ()
    hidden_features: Annotated[int, Range(at_least=1, at_most=65_536)] = 128
    dropout: Annotated[float, Range(at_least=0, below=1)] = 0.5
    topology: Topology | None = None
    measured_channel: Annotated[int, Range(at_least=0, at_most=1023)] = 1
    window: Annotated[int, Range(at_least=1, at_most=256)] = 8
    dilated_skips: bool = True
    weights: str = ""
    regression_units: tuple[tuple[str, Literal["light", "released"]], ...] = ()
    head_inputs: Literal["image", "clinical", "both"] = "image"
    clinical: Annotated[tuple[str, ...], Distinct()] = ()
    head_kernel: Annotated[int, Range(at_least=1, at_most=3)] = field(default=1, metadata=ADDED)

    def at_depth(self, encoder: str, depth: int) -> NetworkConfig:
        """Another encoder with ``depth`` levels; taps keep their distance from the deepest level."""
        shift = depth - self.depth
        taps = tuple(tap + shift for tap in self.taps if tap + shift >= 0)
        return replace(self, encoder=encoder, depth=depth, taps=taps)

    def check(self) -> None:
        require(
            all(0 <= tap < self.depth for tap in self.taps),
            self.place_of("taps"),
            self.taps,
            f"give distinct levels from 0 to {self.depth - 1}",
        )
        require(
            not self.taps or self.depth - 1 in self.taps,
            self.place_of("taps"),
            self.taps,
            f"must contain the deepest level, {self.depth - 1}: nothing else would train it",
        )
        require(self.head_kernel % 2 == 1, self.place_of("head_kernel"), self.head_kernel, "must be 1 or 3")
        every_level = len(self.taps) == self.depth
        object.__setattr__(self, "taps", () if every_level else tuple(sorted(self.taps)))
        object.__setattr__(self, "regression_units", tuple(sorted(self.regression_units)))
        require(
            bool(self.clinical) == (self.head_inputs != "image"),
            self.place_of("clinical"),
            self.clinical,
            f"network.head_inputs is {self.head_inputs!r}: name covariates for 'clinical' and 'both', none for 'image'",
        )
