"""Budget of a run, how samples reach it, and learning without labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from branchpoint.config.augmentation import AugmentationConfig
from branchpoint.io.storage import is_uri
from branchpoint.values import Checked, Range, require

NotNegative = Annotated[float, Range(at_least=0)]

SCORE = "validation/score"
"""Name of the metric that ranks runs: over the tasks that count, the share of what is possible that their primary
metrics reach on validation patients."""


@dataclass(frozen=True, kw_only=True)
class SemiSupervisedConfig(Checked):
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

    section = "training.semi_supervised"

    pseudo_weight: NotNegative = 1.0
    threshold: Annotated[float, Range(at_least=0.5, below=1)] = 0.95
    consistency_weight: NotNegative = 0.0
    noise: NotNegative = 0.1
    decay: Annotated[float, Range(at_least=0, below=1)] = 0.99
    start: Annotated[float, Range(at_least=0, below=1)] = 0.2
    ramp: Annotated[float, Range(at_least=0, at_most=1)] = 0.3

    def check(self) -> None:
        require(
            self.pseudo_weight + self.consistency_weight > 0,
            self.section,
            self,
            "pseudo_weight or consistency_weight must be positive; else leave it out",
        )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Checked):
    """The budget of a run and how samples reach it.

    Attributes:
        epochs: passes over the training samples.
        batch_size: global batch, over all workers.
        micro_batch: most samples that a worker passes through the network at once; gradients are added up to those of
            the global batch. It changes what fits into memory, not the result, and is no part of a run's identity.
            Refused where parts of a batch would give another result: losses that compare samples (Cox), batch norm,
            gradients combined in features.
        event_fraction: share of samples with an event that resampling aims at (Andrearczyk et al. 2021: 0.5);
            ``None`` keeps the natural share.
        precision: of the forward pass.
        select_by: which weights a run ends with: those of the epoch with the best validation ``loss`` (weighted sum,
            Andrearczyk et al. 2021) or ``score`` (mean of the tasks' primary metrics; auxiliary tasks count in
            neither), those of the ``last`` epoch, or the ``average`` of the weights over the last steps. The last two
            choose nothing by validation, so that networks of one task and of several are compared by one rule.
        average_decay: largest decay of the moving average of the weights, for each step; over the first steps it is
            (1 + t) / (10 + t), so that the average spans about a tenth of a short training.
        semi_supervised: how samples without a label teach the tasks that lack it; ``None``: not at all.
        start_from: absolute path, or URI, of weights to start from: a run's checkpoint folder or file, or a file of a
            network's weights. What fits is taken and reported.
    """

    section = "training"

    epochs: Annotated[int, Range(at_least=1, at_most=1_000_000)] = 60
    batch_size: Annotated[int, Range(at_least=1, at_most=1_000_000)] = 10
    micro_batch: Annotated[int, Range(at_least=1)] | None = field(default=None, metadata={"identity": False})
    event_fraction: Annotated[float, Range(above=0, below=1)] | None = 0.5
    precision: Literal["fp32", "bf16"] = "fp32"
    select_by: Literal["loss", "score", "last", "average"] = "loss"
    average_decay: Annotated[float, Range(at_least=0, below=1)] = 0.999
    augmentation: AugmentationConfig | None = field(default_factory=AugmentationConfig)
    semi_supervised: SemiSupervisedConfig | None = None
    start_from: str = ""

    def check(self) -> None:
        require(
            not self.start_from or is_uri(self.start_from) or Path(self.start_from).is_absolute(),
            self.place_of("start_from"),
            self.start_from,
            "must be an absolute path, or a URI: workers run in other folders",
        )
