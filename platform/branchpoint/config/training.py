"""Configuration of a run's training: optimiser, augmentation, budget, and learning without labels.

Standard library only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from branchpoint.config.serialization import require
from branchpoint.io.storage import is_uri


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam, AdamW or stochastic gradient descent with Nesterov momentum, and the course of the learning rate.

    Attributes:
        betas: of Adam and AdamW.
        momentum: of ``sgd`` (nnU-Net: 0.99; Isensee et al. 2021).
        schedule: of the learning rate: ``cosine`` from ``learning_rate`` to 0 over the whole budget (Andrearczyk et al.
            2021, section 2.3); ``polynomial``, (1 - progress) ** 0.9 (nnU-Net); ``halving``, times 0.5 after every
            ``halving_share`` of the budget (Bhattarai et al.: every third); ``constant``.
        warmup_share: share of the budget over which the rate first rises linearly from 0.
        encoder_rate: factor of the learning rate for the encoder's parameters; 0 freezes the encoder, and a value below
            1 changes pre-trained weights more slowly than new ones.
        clip_norm: largest norm of the gradient; ``None`` leaves it as it is.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    schedule: Literal["cosine", "polynomial", "halving", "constant"] = "cosine"
    halving_share: float = 1 / 3
    warmup_share: float = 0.0
    encoder_rate: float = 1.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "must be positive")
        require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "must be at least 0")
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "must lie in [0, 1)")
        require(0 < self.halving_share <= 1, "optimizer.halving_share", self.halving_share, "must lie in (0, 1]")
        require(0 <= self.warmup_share < 1, "optimizer.warmup_share", self.warmup_share, "must lie in [0, 1)")
        require(0 <= self.encoder_rate <= 1, "optimizer.encoder_rate", self.encoder_rate, "must lie in [0, 1]")
        require(
            self.clip_norm is None or self.clip_norm > 0,
            "optimizer.clip_norm",
            self.clip_norm,
            "must be positive, or None",
        )


@dataclass(frozen=True, kw_only=True)
class IntensityAugmentationConfig:
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

    probability: float = 0.2
    brightness: float = 0.3
    contrast: float = 0.3
    gamma: float = 0.4
    noise: float = 0.2
    blur_voxels: float = 1.0
    low_resolution: float = 2.0
    saturation: float = 0.0
    hue_turns: float = 0.0
    channel_dropout: float = 0.0
    cutout: float = 0.0
    channels_together: bool = False

    def __post_init__(self) -> None:
        place = "augmentation.intensity"
        for name in ("brightness", "contrast", "gamma", "noise", "blur_voxels"):
            require(0 <= getattr(self, name) < 100, f"{place}.{name}", getattr(self, name), "must lie in [0, 100)")
        require(1 <= self.low_resolution <= 16, f"{place}.low_resolution", self.low_resolution, "must lie in [1, 16]")
        for name in ("probability", "saturation", "channel_dropout"):
            require(0 <= getattr(self, name) <= 1, f"{place}.{name}", getattr(self, name), "must lie in [0, 1]")
        require(0 <= self.hue_turns <= 0.5, f"{place}.hue_turns", self.hue_turns, "must lie in [0, 0.5]")
        require(0 <= self.cutout < 1, f"{place}.cutout", self.cutout, "must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Random movements (Andrearczyk et al. 2021, section 2.3) and changes of intensity, drawn for each sample and step.

    Attributes:
        shift_mm: largest shift along each axis (Andrearczyk et al. 2021: 30 voxels of 1 mm).
        mirror: mirror left and right with probability one half.
        flip: turn upside down (along the second last axis) with probability one half, for pictures that have no up.
        rotation_degrees: largest rotation of the plane of the last two axes.
        scaling: the size of the content in that plane changes by a factor between 1 / (1 + scaling) and 1 + scaling.
        intensity: changes of intensity; ``None`` for none.
    """

    shift_mm: float = 30.0
    mirror: bool = True
    flip: bool = False
    rotation_degrees: float = 5.0
    scaling: float = 0.0
    intensity: IntensityAugmentationConfig | None = None

    def __post_init__(self) -> None:
        for name in ("shift_mm", "rotation_degrees", "scaling"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"augmentation.{name}", value, "must be finite and at least 0")


@dataclass(frozen=True, kw_only=True)
class SemiSupervisedConfig:
    """Learning from unlabelled samples: pseudo-labels and consistency, both by a teacher.

    The teacher is a moving average of the network's weights (Tarvainen and Valpola 2017). At every step after
    ``start`` it sees the batch; where a sample has no label of a task, what it is confident of becomes the label
    (segmentation voxel by voxel), and the network is drawn to its probabilities although its own image is noisier.
    Tasks without probabilities (survival, regression) are left alone.

    Attributes:
        pseudo_weight: weight of the loss on pseudo-labels against that on labels; 0: none.
        threshold: probability from which on the teacher's answer is a label.
        consistency_weight: weight of the mean squared difference of probabilities, over all samples; 0: none.
        noise: standard deviation of what is added to the network's normalised image for the consistency.
        decay: of the moving average, for each step.
        start: share of the budget before the teacher is asked.
        ramp: share of the budget over which both weights rise from 0, as exp(-5 (1 - t)^2).
    """

    pseudo_weight: float = 1.0
    threshold: float = 0.95
    consistency_weight: float = 0.0
    noise: float = 0.1
    decay: float = 0.99
    start: float = 0.2
    ramp: float = 0.3

    def __post_init__(self) -> None:
        for name in ("pseudo_weight", "consistency_weight", "noise", "ramp"):
            require(getattr(self, name) >= 0, f"semi_supervised.{name}", getattr(self, name), "must be at least 0")
        require(
            self.pseudo_weight + self.consistency_weight > 0,
            "semi_supervised",
            self,
            "one of both weights must be positive; else leave it out",
        )
        require(0.5 <= self.threshold < 1, "semi_supervised.threshold", self.threshold, "must lie in [0.5, 1)")
        require(0 <= self.decay < 1, "semi_supervised.decay", self.decay, "must lie in [0, 1)")
        require(0 <= self.start < 1, "semi_supervised.start", self.start, "must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The budget of a run and how samples reach it.

    Attributes:
        epochs: passes over the training samples.
        batch_size: global batch, over all workers.
        micro_batch: most samples that a worker passes through the network at once; gradients are added up to those of
            the global batch. It changes what fits into memory, not the result, and is no part of a run's identity.
            Refused where parts of a batch would give another result: losses that compare samples (Cox), batch norm,
            gradients combined in features.
        event_fraction: share of samples with an event that resampling aims at (paper 003: 0.5); ``None`` keeps
            the natural share.
        precision: of the forward pass.
        select_by: validation figure that names the best epoch: the weighted sum of losses (paper 003), or the mean of
            the tasks' primary metrics; auxiliary tasks count in neither.
        semi_supervised: how samples without a label teach the tasks that lack it; ``None``: not at all.
        start_from: absolute path, or URI, of weights to start from: a run's checkpoint folder or file, or a file of a
            network's weights. What fits is taken and reported.
    """

    epochs: int = 60
    batch_size: int = 10
    micro_batch: int | None = field(default=None, metadata={"identity": False})
    event_fraction: float | None = 0.5
    precision: Literal["fp32", "bf16"] = "fp32"
    select_by: Literal["loss", "score"] = "loss"
    augmentation: AugmentationConfig | None = AugmentationConfig()
    semi_supervised: SemiSupervisedConfig | None = None
    start_from: str = ""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "training.epochs", self.epochs, "must be at least 1")
        require(self.batch_size >= 1, "training.batch_size", self.batch_size, "must be at least 1")
        require(
            self.micro_batch is None or self.micro_batch >= 1,
            "training.micro_batch",
            self.micro_batch,
            "must be at least 1, or be None",
        )
        require(
            self.event_fraction is None or 0 < self.event_fraction < 1,
            "training.event_fraction",
            self.event_fraction,
            "must lie strictly between 0 and 1, or be None",
        )
        seen = not self.start_from or is_uri(self.start_from) or Path(self.start_from).is_absolute()
        require(
            seen,
            "training.start_from",
            self.start_from,
            "must be an absolute path, or a URI: workers run in other folders",
        )
