"""Configuration of a run's training: optimiser, augmentation, budget, and learning without labels.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from branchpoint.config.serialization import require
from branchpoint.io.storage import is_uri


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam or AdamW.

    Attributes:
        schedule: of the learning rate: ``cosine`` from ``learning_rate`` to 0 over the whole budget (paper 003, 2.3);
            ``halving``, times 0.5 after every ``halving_share`` of the budget (paper 002: every third); ``constant``.
    """

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "halving", "constant"] = "cosine"
    halving_share: float = 1 / 3
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "must be positive")
        require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "must be at least 0")
        require(0 < self.halving_share <= 1, "optimizer.halving_share", self.halving_share, "must lie in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Random shift, mirrors and rotation (paper 003, 2.3), drawn for each sample and step.

    Attributes:
        shift_mm: largest shift along each axis (paper: 30 voxels of 1 mm).
        mirror: mirror left and right with probability one half.
        flip: turn upside down (along the second last axis) with probability one half, for pictures that have no up.
        rotation_degrees: largest rotation.
    """

    shift_mm: float = 30.0
    mirror: bool = True
    flip: bool = False
    rotation_degrees: float = 5.0


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
