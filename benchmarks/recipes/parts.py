"""Recipes of the platform: the default, and what changes one choice of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from branchpoint.config import Config, IntensityAugmentationConfig


def with_encoder(encoder: str, width: int, depth: int = 5) -> Callable[[Config], Config]:
    """Another encoder, its decoder ``width`` channels wide at the picture's own size."""

    def changed(config: Config) -> Config:
        return replace(config, network=replace(config.network.at_depth(encoder, depth), width=width))

    return changed


def with_network(**values: Any) -> Callable[[Config], Config]:
    """Another choice of the network's."""
    return lambda config: replace(config, network=replace(config.network, **values))


def deepest(config: Config) -> Config:
    """Image-level heads see the deepest level alone."""
    return replace(config, network=replace(config.network, taps=(config.network.depth - 1,)))


def with_outline(**values: Any) -> Callable[[Config], Config]:
    """Another choice of the outline's."""

    def changed(config: Config) -> Config:
        outline, diagnosis = config.tasks
        return replace(config, tasks=(replace(outline, **values), diagnosis))

    return changed


def with_classes(**values: Any) -> Callable[[Config], Config]:
    """Another loss of the diagnosis."""

    def changed(config: Config) -> Config:
        outline, diagnosis = config.tasks
        return replace(config, tasks=(outline, replace(diagnosis, **values)))

    return changed


def with_augmentation(**values: Any) -> Callable[[Config], Config]:
    """Another augmentation."""

    def changed(config: Config) -> Config:
        assert config.training.augmentation is not None
        augmentation = replace(config.training.augmentation, **values)
        return replace(config, training=replace(config.training, augmentation=augmentation))

    return changed


def with_learning_rate(rate: float) -> Callable[[Config], Config]:
    """Another learning rate."""
    return lambda config: replace(config, optimizer=replace(config.optimizer, learning_rate=rate))


def with_training(**values: Any) -> Callable[[Config], Config]:
    """Another budget or choice of weights."""
    return lambda config: replace(config, training=replace(config.training, **values))


PHOTOGRAPH = IntensityAugmentationConfig(saturation=0.3, hue_turns=0.03, channels_together=True)
PARTS: dict[str, Callable[[Config], Config]] = {
    "default": lambda config: config,
    "unet8": with_encoder("unet", 8),
    "unet16": with_encoder("unet", 16),
    "resnet18": with_encoder("resnet18", 16),
    "resnet34": with_encoder("resnet34", 16),
    "head1": with_network(head_kernel=1),
    "head3": with_network(head_kernel=3),
    "deepest": deepest,
    "every": with_network(taps=()),
    "prior": with_outline(prior_bias=True),
    "noprior": with_outline(prior_bias=False),
    "balanced": with_classes(balanced=True),
    "smoothed": with_classes(label_smoothing=0.1),
    "intensity": with_augmentation(intensity=IntensityAugmentationConfig()),
    "colour": with_augmentation(intensity=PHOTOGRAPH),
    "still": with_augmentation(intensity=None),
    "scaling": with_augmentation(scaling=0.25),
    "rotation": with_augmentation(rotation_degrees=30.0),
    "noshift": with_augmentation(shift_mm=0.0),
    "always": with_augmentation(movement_probability=1.0),
    "seldom": with_augmentation(movement_probability=0.2),
    "half": with_augmentation(movement_probability=0.5),
    "slow": with_learning_rate(3e-4),
    "fast": with_learning_rate(3e-3),
    "last": with_training(select_by="last"),
    "batch8": with_training(batch_size=8),
    "batch5": with_training(batch_size=5),
}
"""Parts of a recipe; ``+`` joins them."""


def changed(config: Config, recipe: str) -> Config:
    """``config`` with every part of ``recipe``."""
    for part in recipe.split("+"):
        config = PARTS[part](config)
    return config
