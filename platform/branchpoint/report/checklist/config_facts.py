"""What the recommended Config says, in sentences for :mod:`branchpoint.report.checklist.facts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from branchpoint import networks
from branchpoint.config import AnyTaskConfig, Config
from branchpoint.report.answer import question

KINDS = {"survival": "time to an event", "distance_map": "distance to the outline"}
"""Kinds of task whose stored name says too little."""


def _main(config: Config) -> list[AnyTaskConfig]:
    return [task for task in config.tasks if not task.auxiliary]


def _outcomes(config: Config) -> str:
    return f"Labels: {', '.join(f'{task.target} ({KINDS.get(task.kind, task.kind)})' for task in _main(config))}."


def _purpose(config: Config) -> str:
    tasks = ", ".join(f"{task.name} ({KINDS.get(task.kind, task.kind)})" for task in _main(config))
    return f"A multi-task deep network is developed, and tested internally, for {tasks}."


def _predictors(config: Config) -> str:
    named = ", ".join(config.network.clinical)
    clinical = f" and {named}" if config.network.head_inputs != "image" and named else ""
    return f"Images of {config.network.in_channels} channels{clinical}."


def _preparation(config: Config) -> str:
    size = " x ".join(map(str, config.dataset.size_voxels))
    if len(config.dataset.size_voxels) == 2:
        return f"Pictures are resized to {size} pixels (intensities: {config.dataset.intensities})."
    clinical = " Clinical values are standardised by the training patients." if config.network.clinical else ""
    return f"Images are resampled to {config.dataset.spacing_mm:g} mm and cut to {size} voxels.{clinical}"


def _window(config: Config) -> str:
    volume = len(config.dataset.size_voxels) == 3
    return "A window of each volume is seen; masks outside of it count as missed." if volume else "Whole pictures."


def _partition(config: Config) -> str:
    split = config.split
    part = f"{split.scheme.replace('_', ' ')}, {split.folds} folds"
    return f"Test parts by {part} (seed {split.seed}); {split.validation_fraction:.0%} of the others validate."


def _model(config: Config) -> str:
    cost = networks.estimate(config)
    return (
        f"{networks.topology_of(config).family} network, encoder {config.network.encoder} of width "
        f"{config.network.width} and depth {config.network.depth}, {cost.parameters:,} parameters; drawn above."
    )


def _initialization(config: Config) -> str:
    start = config.training.start_from or config.network.weights
    return f"Weights of {start}." if start else f"Random weights, seed {config.seed} and following."


def _training(config: Config) -> str:
    training, optimizer = config.training, config.optimizer
    augmented = "with augmentation" if training.augmentation else "without augmentation"
    return (
        f"Optimiser {optimizer.name}, learning rate {optimizer.learning_rate:g} ({optimizer.schedule}), "
        f"{training.epochs} epochs, batches of {training.batch_size}, {augmented}; losses balanced by "
        f"{config.balancing.method}; weights chosen by {training.select_by}."
    )


def _imbalance(config: Config) -> str:
    said = [f"{task.name}: weights of classes" for task in config.tasks if getattr(task, "class_weights", ())]
    said += [f"{task.name}: weighed by rarity" for task in config.tasks if getattr(task, "balanced", False)]
    if config.training.event_fraction is not None and any(task.kind == "survival" for task in config.tasks):
        said.append(
            f"samples with an event are drawn more often, towards a share of {config.training.event_fraction:g}"
        )
    return f"{'; '.join(said)}." if said else ""


def _output(config: Config) -> str:
    words = {
        "segmentation": "class of each voxel (the likeliest)",
        "survival": "log-hazard, and survival probabilities by a Cox baseline",
        "classification": "probabilities of classes",
        "regression": "a number",
    }
    said = [f"{task.name}: {words.get(task.kind, task.kind.replace('_', ' '))}" for task in _main(config)]
    return f"{'; '.join(said)}."


OF_CONFIG: Mapping[str, Callable[[Config], str]] = {
    "purpose": _purpose,
    "question": question,
    "outcomes": _outcomes,
    "predictors": _predictors,
    "preparation": _preparation,
    "window": _window,
    "partition": _partition,
    "model": _model,
    "initialization": _initialization,
    "training": _training,
    "imbalance": _imbalance,
    "output": _output,
}
