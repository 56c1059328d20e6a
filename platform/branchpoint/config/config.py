"""``Config``: a whole trial as one frozen, validated value.

A run is a Python function that returns a :class:`Config`; JSON is an output format. The fingerprint (hash of the
canonical form) names the run, finds duplicates and resumes work. Where a cohort lies on disk is not part of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from branchpoint.config.balancing import BalancingConfig
from branchpoint.config.serialization import from_plain, require, to_plain
from branchpoint.config.tasks import (
    AnyTaskConfig,
    ClassificationConfig,
    DomainConfig,
    HogConfig,
    MultilabelConfig,
    OrdinalConfig,
    ReconstructionConfig,
    RegressionConfig,
    SegmentationConfig,
    SurvivalConfig,
    TaskConfig,
)
from branchpoint.config.training import AugmentationConfig, OptimizerConfig, SemiSupervisedConfig, TrainingConfig
from branchpoint.topology import Topology

__all__ = [
    "AnyTaskConfig",
    "AugmentationConfig",
    "BalancingConfig",
    "ClassificationConfig",
    "Config",
    "DatasetConfig",
    "DomainConfig",
    "HogConfig",
    "MultilabelConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "OrdinalConfig",
    "ReconstructionConfig",
    "RegressionConfig",
    "SegmentationConfig",
    "SemiSupervisedConfig",
    "SplitConfig",
    "SurvivalConfig",
    "TaskConfig",
    "TrainingConfig",
]


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Which cohort, and how it is brought to one grid.

    Attributes:
        name: reader, for example ``hecktor`` or ``sts``.
        root: absolute folder of the release; not part of a run's identity.
        release: release of the dataset, where it has several.
        spacing_mm: isotropic spacing after resampling (paper 003: 1 mm). Pictures have no millimetres: leave it at 1,
            and lengths in mm are pixels.
        size_voxels: (D, H, W) of the crop (paper 003: 144 each), or (H, W) that pictures are resized to (paper 001:
            224 x 224 for skin, 512 x 512 for OCT).
        margin_mm: of volumes: what is kept around the crop, so that shifts in training bring in anatomy instead of
            background; the largest shift of the augmentation is enough.
        cut_margins: in training, cut each margin around the tumour at random, for releases cropped around it (STS).
        keep_aspect: keep a picture's proportions and fill up the rest with black, instead of stretching it.
        intensities: of pictures: ``fixed`` maps black to -2 and white to 2 in every picture, so that colours stay
            what they are; ``image`` gives each picture (all its channels together) zero mean and unit variance.
    """

    name: str = "hecktor"
    root: str = field(default="", metadata={"identity": False})
    release: str = "2021"
    spacing_mm: float = 1.0
    size_voxels: tuple[int, ...] = (144, 144, 144)
    margin_mm: float = 30.0
    cut_margins: bool = True
    keep_aspect: bool = False
    intensities: Literal["fixed", "image"] = "fixed"

    def __post_init__(self) -> None:
        require(self.spacing_mm > 0, "dataset.spacing_mm", self.spacing_mm, "must be positive (millimetres)")
        require(
            len(self.size_voxels) in (2, 3) and min(self.size_voxels) > 0,
            "dataset.size_voxels",
            self.size_voxels,
            "give two or three positive sizes, (D, H, W)",
        )
        require(0 <= self.margin_mm <= 1000, "dataset.margin_mm", self.margin_mm, "must lie in [0, 1000] (millimetres)")
        require(
            not self.root or Path(self.root).is_absolute(),
            "dataset.root",
            self.root,
            "must be an absolute path: workers run in other folders",
        )


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Encoder, decoder and heads; which tasks share them is ``topology``.

    Attributes:
        encoder: name in the registry of ``branchpoint.networks``.
        in_channels: image channels C.
        width: channels W of the first level; level i has ``width * 2**i`` (paper 003: 8).
        depth: number of encoder levels (paper 003: 5).
        unit: normalisation of the residual unit.
        taps: encoder levels whose global average pool feeds image-level heads, the deepest among them; empty means
            all levels.
        hidden_features: units of the dense layer of image-level heads.
        dropout: before each of the two dense layers of image-level heads.
        topology: sharing tree; ``None`` shares every stage among all tasks.
        measured_channel: image channel that cascades of measurements read (1 is PET in CT, PET).
        window: voxels along each axis of an attention window (``resformer_*``; even sizes shift by half).
        dilated_skips: refine what the decoder joins by dilated feature enhancement (``resformer_*``; paper 001).
        weights: local file with the weights of a torchvision encoder; empty for random weights.
        regression_units: (task, unit) for image-level tasks that regress a long vector with the units of paper 002,
            ``light`` or ``released``: on the bottleneck, or, where the topology leads the task through the decoder,
            on the bottleneck and each decoder stage.
        head_inputs: what image-level tasks are predicted from: features of the ``image``, the ``clinical`` values, or
            ``both``. Regression units and domain tasks see the image alone.
        clinical: names of the covariates that enter where ``head_inputs`` says so, past the hidden layer:
            standardised by the training patients, a missing one replaced by their mean and marked as missing.
    """

    encoder: str = "radiomics_unet"
    in_channels: int = 2
    width: int = 8
    depth: int = 5
    unit: Literal["senorm", "batchnorm", "instancenorm"] = "senorm"
    taps: tuple[int, ...] = ()
    hidden_features: int = 128
    dropout: float = 0.5
    topology: Topology | None = None
    measured_channel: int = 1
    window: int = 8
    dilated_skips: bool = True
    weights: str = ""
    regression_units: tuple[tuple[str, Literal["light", "released"]], ...] = ()
    head_inputs: Literal["image", "clinical", "both"] = "image"
    clinical: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("in_channels", "width", "depth", "hidden_features", "window"):
            require(getattr(self, name) >= 1, f"network.{name}", getattr(self, name), "must be at least 1")
        require(0 <= self.dropout < 1, "network.dropout", self.dropout, "must lie in [0, 1)")
        require(
            all(0 <= tap < self.depth for tap in self.taps) and len(set(self.taps)) == len(self.taps),
            "network.taps",
            self.taps,
            f"give distinct levels from 0 to {self.depth - 1}",
        )
        require(
            not self.taps or self.depth - 1 in self.taps,
            "network.taps",
            self.taps,
            f"must contain the deepest level, {self.depth - 1}: nothing else would train it",
        )
        every_level = len(self.taps) == self.depth
        object.__setattr__(self, "taps", () if every_level else tuple(sorted(self.taps)))
        object.__setattr__(self, "regression_units", tuple(sorted(self.regression_units)))
        require(self.measured_channel >= 0, "network.measured_channel", self.measured_channel, "must be at least 0")
        require(len(set(self.clinical)) == len(self.clinical), "network.clinical", self.clinical, "names repeat")
        require(
            bool(self.clinical) == (self.head_inputs != "image"),
            "network.clinical",
            self.clinical,
            f"network.head_inputs is {self.head_inputs!r}: name covariates for 'clinical' and 'both', none for 'image'",
        )


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Event-stratified cross-validation with an inner validation split (paper 003, 2.6), or fixed parts.

    Attributes:
        folds: of the cross-validation.
        fold: the one whose patients are tested.
        validation_fraction: of what is not tested, for the choice of the epoch.
        seed: of the folds.
        scheme: ``cross_validation``; ``official``, the parts that come with the data; or ``paper``, those of the paper
            that used it, leaks between training and test included. Fixed parts have one round, fold 0.
        training_fraction: share of the training samples that is used; smaller shares are parts of larger ones.
    """

    folds: int = 5
    fold: int = 0
    validation_fraction: float = 0.2
    seed: int = 0
    scheme: Literal["cross_validation", "official", "paper"] = "cross_validation"
    training_fraction: float = 1.0

    def __post_init__(self) -> None:
        require(self.folds >= 2, "split.folds", self.folds, "must be at least 2")
        require(0 <= self.fold < self.folds, "split.fold", self.fold, f"must lie from 0 to {self.folds - 1}")
        require(
            0 < self.validation_fraction < 1,
            "split.validation_fraction",
            self.validation_fraction,
            "must lie strictly between 0 and 1",
        )
        require(
            0 < self.training_fraction <= 1,
            "split.training_fraction",
            self.training_fraction,
            "must lie above 0 and at most at 1",
        )
        require(
            self.fold in self.rounds,
            "split.fold",
            self.fold,
            f"{self.scheme} parts are fixed, another fold would test the same samples: use 0",
        )

    @property
    def rounds(self) -> range:
        """Folds whose test samples are distinct: all of a cross-validation, one of fixed parts."""
        return range(self.folds if self.scheme == "cross_validation" else 1)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole trial: dataset, tasks, network, balancing, optimiser, budget, split and seed."""

    dataset: DatasetConfig
    tasks: tuple[AnyTaskConfig, ...]
    network: NetworkConfig = NetworkConfig()
    balancing: BalancingConfig = field(default_factory=BalancingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    split: SplitConfig = SplitConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        require(bool(names), "tasks", names, "name at least one task")
        require(len(set(names)) == len(names), "tasks", names, "names must be distinct")
        require(any(task.weight > 0 for task in self.tasks), "tasks", names, "at least one weight must be positive")
        for task in self.tasks:
            self._check_task(task)
        self._check_micro_batch()
        topology, dense = self.network.topology, {task.name for task in self.tasks if task.dense}
        if topology is not None and topology.shares_all and topology.decoder_tasks == dense:
            # One way to say that all tasks share every stage, so that equal networks have equal fingerprints.
            object.__setattr__(self, "network", replace(self.network, topology=None))

    def _check_task(self, task: AnyTaskConfig) -> None:
        size, network = self.dataset.size_voxels, self.network
        if isinstance(task, HogConfig):
            require(len(size) == 2, f"tasks.{task.name}", task.kind, f"is for pictures; dataset.size_voxels is {size}")
        if isinstance(task, ReconstructionConfig):
            require(
                task.channels == network.in_channels,
                task.place("channels"),
                task.channels,
                f"network.in_channels is {network.in_channels}",
            )
        require(
            task.target not in network.clinical,
            "network.clinical",
            network.clinical,
            f"{task.target!r} is what task {task.name!r} is to predict",
        )

    def _check_micro_batch(self) -> None:
        size = self.training.micro_batch
        if size is None or size >= self.training.batch_size:
            return
        comparing = [task.name for task in self.tasks if task.compares_samples and task.weight > 0]
        require(
            not comparing,
            "training.micro_batch",
            size,
            f"the loss of {', '.join(map(repr, comparing))} compares the samples of a batch with each other, so "
            "that parts of a batch would give another loss; leave it out and lower training.batch_size, or train "
            "with more workers, which share a batch exactly",
        )
        require(
            self.network.unit != "batchnorm",
            "training.micro_batch",
            size,
            "network.unit is 'batchnorm', whose statistics would be those of parts of a batch; use 'senorm' or "
            "'instancenorm'",
        )
        require(
            self.balancing.gradients != "features",
            "training.micro_batch",
            size,
            "balancing.gradients is 'features', which are there for one part of a batch at a time; use 'parameters'",
        )

    def to_json(self) -> str:
        """Canonical JSON: keys sorted, no spaces."""
        return json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Config:
        """The Config that :meth:`to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or a field is unknown, missing or wrong; the message names its place.
        """
        return from_plain(cls, json.loads(text))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name this run."""
        canonical = json.dumps(to_plain(self, identity_only=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def candidate(self) -> str:
        """Fingerprint with fold and seed set aside: runs of one candidate differ in these alone."""
        return replace(self, split=replace(self.split, fold=0), seed=0).fingerprint

    def task(self, name: str) -> AnyTaskConfig:
        """The task called ``name``; KeyError where there is none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(f"no task {name!r}; there are {', '.join(t.name for t in self.tasks)}")
