"""Random changes of the images that a network learns from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from branchpoint.values import ADDED, Checked, Range

Share = Annotated[float, Range(at_least=0, at_most=1)]
Amount = Annotated[float, Range(at_least=0, below=100)]


@dataclass(frozen=True, kw_only=True)
class IntensityAugmentationConfig(Checked):
    """Random changes of intensity, drawn for each sample and step; intensities are the network's normalised ones.

    The ranges are about those of nnU-Net (Isensee et al. 2021, supplementary note 4).

    Attributes:
        probability: with which each transformation is applied to a sample.
        brightness: largest amount that is added or taken away.
        contrast: the factor about the channel's mean lies between 1 / (1 + contrast) and 1 + contrast.
        gamma: the exponent lies between 1 / (1 + gamma) and 1 + gamma; half of the draws act on inverted intensities.
        noise: largest standard deviation of Gaussian noise.
        blur_voxels: largest standard deviation of a Gaussian blur, in voxels.
        low_resolution: largest factor by which the grid is coarsened and refined again; 1 for none.
        saturation: the factor of colour saturation lies between 1 - saturation and 1 + saturation (three channels).
        hue_turns: largest rotation of the hue, in turns (three channels).
        channel_dropout: probability that one of several channels is replaced by its mean.
        cutout: largest edge of a box that is replaced by the mean, as a share of the image's edges.
        channels_together: change all channels alike, as for the colours of a photograph.
    """

    section = "training.augmentation.intensity"

    probability: Share = 0.2
    brightness: Amount = 0.3
    contrast: Amount = 0.3
    gamma: Amount = 0.4
    noise: Amount = 0.2
    blur_voxels: Amount = 1.0
    low_resolution: Annotated[float, Range(at_least=1, at_most=16)] = 2.0
    saturation: Share = 0.0
    hue_turns: Annotated[float, Range(at_least=0, at_most=0.5)] = 0.0
    channel_dropout: Share = 0.0
    cutout: Annotated[float, Range(at_least=0, below=1)] = 0.0
    channels_together: bool = False


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(Checked):
    """Random movements (Andrearczyk et al. 2021, section 2.3) and changes of intensity, drawn for each sample and step.

    Attributes:
        shift_mm: largest shift along each axis (Andrearczyk et al. 2021: 30 voxels of 1 mm).
        mirror: mirror left and right with probability one half.
        flip: turn upside down (along the second last axis) with probability one half, for pictures that have no up.
        rotation_degrees: largest rotation of the plane of the last two axes.
        scaling: the size of the content in that plane changes by a factor between 1 / (1 + scaling) and 1 + scaling.
        movement_probability: with which a sample is shifted, rotated and scaled; each is drawn by itself. Mirroring and
            flipping keep their probability of one half.
        intensity: changes of intensity; ``None`` for none.
    """

    section = "training.augmentation"

    shift_mm: Annotated[float, Range(at_least=0, at_most=10_000)] = 30.0
    mirror: bool = True
    flip: bool = False
    rotation_degrees: Annotated[float, Range(at_least=0, at_most=180)] = 5.0
    scaling: Annotated[float, Range(at_least=0, at_most=100)] = field(default=0.0, metadata=ADDED)
    movement_probability: Share = field(default=1.0, metadata=ADDED)
    intensity: IntensityAugmentationConfig | None = field(default=None, metadata=ADDED)
