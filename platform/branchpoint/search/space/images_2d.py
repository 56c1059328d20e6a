"""The search space of a study on pictures: one value that says what its tasks are, and the rest follows.

Searched: encoder (U-Net, ResFormer in both forms, U2-Net; ResNet, EfficientNet and ConvNeXt of torchvision), width,
depth and normalisation, which tasks are learned together, where they part and what passes between them, whether
auxiliary tasks are learned beside, what image-level heads see, loss weights, how losses or gradients are balanced, and
learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from branchpoint.config import (
    AnyTaskConfig,
    AugmentationConfig,
    Config,
    DatasetConfig,
    NetworkConfig,
    OptimizerConfig,
    SplitConfig,
    TrainingConfig,
)
from branchpoint.config.serialization import require
from branchpoint.networks.encoders import given_depth
from branchpoint.search.space.parts import (
    depths,
    main_tasks,
    measuring_point,
    shared_point,
    suggest_balancing,
    suggest_head_inputs,
    suggest_heads,
    suggest_learned,
    suggest_learning_rate,
    suggest_topology,
    suggest_width,
    together,
)
from branchpoint.search.space.trial import Trial

Encoder = Literal[
    "unet",
    "resformer_sequential",
    "resformer_parallel",
    "u2net",
    "resnet18",
    "resnet34",
    "efficientnet_b0",
    "convnext_tiny",
]
ENCODERS: tuple[Encoder, ...] = get_args(Encoder)
BACKBONES = ("resnet18", "resnet34", "efficientnet_b0", "convnext_tiny")
"""Encoders of torchvision, whose depth is given; ``width`` is that of the decoder at the picture's own size."""
TRIED_FIRST = ("unet", "resformer_sequential", "resformer_parallel", "u2net", "resnet18")
"""A search begins with these; it draws the larger ones by itself."""
SMALLEST_EDGES = {"u2net": 33, **dict.fromkeys(BACKBONES, 64)}
"""Pixels along each edge that an encoder needs: two in its innermost features, for one has no variance."""
UNITS = ("batchnorm", "instancenorm", "senorm")
SHIFT_SHARE = 0.1
"""Largest shift of the augmentation, of the smaller edge."""


@dataclass(frozen=True, kw_only=True)
class PictureSpace:
    """A study's tasks, and the search space that follows from them.

    Attributes:
        tasks: of a dataset; the first weighs 1. HOG tasks get a light regression unit on the bottleneck (Bhattarai
            et al. 2022).
        channels: of the pictures.
        encoder: of the published configurations, the first choice.
        scheme: of the split.
        clinical: covariates that image-level heads may see.
        mirrored, flipped: whether left and right, up and down mean nothing.
        measured: whether a network is tried first that measures its mask and predicts from that.
    """

    tasks: Callable[[DatasetConfig], tuple[AnyTaskConfig, ...]]
    channels: int
    encoder: Encoder = "unet"
    scheme: Literal["cross_validation", "centres", "official", "paper"] = "cross_validation"
    clinical: tuple[str, ...] = ()
    mirrored: bool = True
    flipped: bool = False
    measured: bool = False

    def base(self, dataset: DatasetConfig) -> Config:
        """What all candidates share; budget and seed are left to the job."""
        require(
            self.encoder in encoders(dataset),
            "dataset.size_voxels",
            dataset.size_voxels,
            f"{self.encoder} needs pictures of at least {SMALLEST_EDGES.get(self.encoder, 1)} pixels along each edge",
        )
        tasks = self.tasks(dataset)
        augmentation = AugmentationConfig(
            shift_mm=SHIFT_SHARE * min(dataset.size_voxels),
            mirror=self.mirrored,
            flip=self.flipped,
            rotation_degrees=10.0,
        )
        depth = _depth(self.encoder, dataset)
        network = NetworkConfig(
            encoder=self.encoder,
            in_channels=self.channels,
            unit="batchnorm",
            depth=depth,
            # Both gain in outlines where classes are learned beside them: see docs/evidence/recipe.md.
            taps=(depth - 1,),
            head_kernel=3,
            measured_channel=0,
            regression_units=tuple((task.name, "light") for task in tasks if task.describes_image),
        )
        return Config(
            dataset=dataset,
            tasks=tasks,
            network=network,
            split=SplitConfig(scheme=self.scheme),
            optimizer=OptimizerConfig(name="adamw", weight_decay=1e-4),
            # Losses of masks, classes and ratios have different scales and overfit at different times.
            training=TrainingConfig(event_fraction=None, augmentation=augmentation, select_by="average"),
        )

    def space(self, trial: Trial, base: Config) -> Config:
        """The Config of ``trial``."""
        tasks = suggest_learned(trial, base.tasks)
        network = suggest_topology(trial, base, suggest_picture_network(trial, base, tasks), tasks)
        network = suggest_head_inputs(trial, network, tasks, self.clinical)
        balancing = suggest_balancing(trial, base, tasks, network)
        return replace(suggest_learning_rate(trial, base), tasks=tasks, network=network, balancing=balancing)

    def published(self, base: Config) -> Mapping[str, dict[str, Any]]:
        """Label to parameter values: every task together, each alone, and both with every auxiliary task."""
        main, auxiliary = main_tasks(base.tasks), [task.name for task in base.tasks if task.auxiliary]
        learned = {f"{task.name} only": task.name for task in main}
        if len(main) > 1:
            learned = {"multi-task, all shared": together(base.tasks)} | learned
        points = {label: self.point(base, learn) for label, learn in learned.items()}
        if auxiliary:
            first, learn = next(iter(learned.items()))
            points[f"{first}, with {' and '.join(auxiliary)}"] = self.point(base, learn, auxiliary=auxiliary)
        return points

    def starting_points(self, base: Config) -> list[dict[str, Any]]:
        """The points of :func:`published`, the first of them with the encoders of ``TRIED_FIRST``, and others that
        are worth it."""
        first = together(base.tasks)
        points = [*self.published(base).values()]
        points += [
            self.point(base, first, encoder)
            for encoder in encoders(base.dataset)
            if encoder in TRIED_FIRST and encoder != base.network.encoder
        ]
        images = [task for task in main_tasks(base.tasks) if not task.dense]
        if self.clinical and images:
            points.append(self.point(base, first, head_inputs="both"))
        if self.measured and len({task.dense for task in main_tasks(base.tasks)}) > 1:
            points.append(measuring_point(base, "image" if self.clinical else None, network_point(base)))
        return points

    def point(
        self,
        base: Config,
        learn: str,
        encoder: str = "",
        *,
        auxiliary: Sequence[str] = (),
        head_inputs: str = "image",
    ) -> dict[str, Any]:
        """The parameter values of one network that shares every stage; ``learn`` as in :func:`shared_point`."""
        base = with_encoder(base, encoder or base.network.encoder)
        seen = head_inputs if self.clinical else None
        return shared_point(base, learn, seen, auxiliary=auxiliary, network=network_point(base))


def suggest_picture_network(trial: Trial, base: Config, tasks: Sequence[AnyTaskConfig]) -> NetworkConfig:
    """Encoder, width, and what the encoder leaves open; taps and dropout where an image-level head is trained.

    Parameters: ``encoder``, ``depth`` (of the U-Net and ResFormer: the others have one), ``unit`` (of the U-Net: the
    others have batch normalisation); those of ``suggest_width`` and ``suggest_heads`` in
    :mod:`branchpoint.search.space.parts`.
    """
    encoder = trial.suggest_categorical("encoder", encoders(base.dataset))
    unit: Any = trial.suggest_categorical("unit", UNITS) if encoder == "unet" else "batchnorm"
    width = suggest_width(trial, base)
    depth = given_depth(encoder) or trial.suggest_categorical("depth", _depths(base.dataset))
    network = replace(base.network.at_depth(encoder, depth), width=width, unit=unit)
    return suggest_heads(trial, network, tasks)


def encoders(dataset: DatasetConfig) -> list[Encoder]:
    """The encoders that the grid allows."""
    return [name for name in ENCODERS if min(dataset.size_voxels) >= SMALLEST_EDGES.get(name, 1)]


def with_encoder(base: Config, encoder: str) -> Config:
    """``base`` with another encoder, as deep as published or as the grid allows."""
    if encoder == base.network.encoder:
        return base
    return replace(base, network=base.network.at_depth(encoder, _depth(encoder, base.dataset)))


def network_point(base: Config) -> dict[str, Any]:
    """What :func:`suggest_picture_network` asks for the base's encoder, with the base's settings."""
    network = base.network
    point: dict[str, Any] = {"encoder": network.encoder, "width": network.width}
    point |= {} if given_depth(network.encoder) else {"depth": network.depth}
    return point | ({"unit": network.unit} if network.encoder == "unet" else {})


def _depths(dataset: DatasetConfig) -> list[int]:
    """As :func:`branchpoint.search.space.parts.depths`; ResFormer's first level is half the size already."""
    return depths([edge // 2 for edge in dataset.size_voxels])


def _depth(encoder: str, dataset: DatasetConfig) -> int:
    """The published depth, as far as the grid allows: ResFormer 4 (Bui et al. 2024), U-Net 5."""
    published = 5 if encoder == "unet" else 4
    return given_depth(encoder) or max(depth for depth in _depths(dataset) if depth <= published)
