"""One network of a recipe: trained by the platform, or by the loop of the peer's users, for a given time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from peers.segmentation_models import stock_unet, train_as_users_do
from torch import Tensor, nn

from branchpoint import networks
from branchpoint.config import ClassificationConfig, Config
from branchpoint.datasets.prepared import PreparedCohort
from branchpoint.datasets.splits import split
from branchpoint.training.loop import fit
from recipes.parts import changed

PEER = "smp_"
"""Recipes that begin so are the peer's U-Net with the encoder that follows."""
PEER_LOOP = "peer_loop:"
"""Recipes that begin so train the platform's network in the peer's loop, so that nothing but the network differs."""


@dataclass(frozen=True)
class Predictions:
    """Of one network: probabilities (N, H, W) of the outline and (N, K) of the classes, and the steps it trained."""

    outline: np.ndarray
    classes: np.ndarray
    steps: int


def train_one(
    recipe: str, config: Config, prepared: PreparedCohort, seconds: float, device: torch.device
) -> Predictions:
    """Train one network on all training images of its fold and predict the test images.

    Args:
        seconds: of processor time on the CPU, of wall time on a GPU.
    """
    if not recipe.startswith((PEER, PEER_LOOP)):
        return _train_platform(changed(config, recipe), prepared, seconds, device)
    diagnosis = config.tasks[1]
    assert isinstance(diagnosis, ClassificationConfig)
    parts = split(prepared, config.split)
    learned = prepared.batch(np.concatenate([parts.train, parts.validation]))
    tested = prepared.batch(parts.test).inputs["image"]
    torch.manual_seed(config.seed)
    model: nn.Module
    if recipe.startswith(PEER):
        model = stock_unet(recipe.removeprefix(PEER), config.network.in_channels, diagnosis.classes)
    else:
        model = _Pair(changed(config, recipe.removeprefix(PEER_LOOP)))
    labels = learned.targets[diagnosis.target]
    found = train_as_users_do(
        model.to(device),
        learned.inputs["image"],
        learned.targets["lesion"],
        labels,
        tested,
        clock(device, seconds),
        config.seed,
    )
    return Predictions(*found)


class _Pair(nn.Module):
    """The platform's network as the peer's loop calls one: an image in, logits of outline and classes out."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.network = networks.build(config)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network({"image": image})
        return logits["lesion"], logits["diagnosis"]


def clock(device: torch.device, seconds: float) -> Callable[[], float]:
    """The share of ``seconds`` that has passed since this call."""
    now = _clock_of(device)
    started = now()
    return lambda: (now() - started) / seconds


def _clock_of(device: torch.device) -> Callable[[], float]:
    return time.process_time if device.type == "cpu" else time.perf_counter


def _train_platform(config: Config, prepared: PreparedCohort, seconds: float, device: torch.device) -> Predictions:
    now, times = _clock_of(device), []
    probe = replace(config, training=replace(config.training, epochs=3))
    fit(probe, prepared, device=device, report=lambda _: times.append(now()) is None)
    epochs = max(2, round(seconds / (times[2] - times[1])))
    result = fit(replace(config, training=replace(config.training, epochs=epochs)), prepared, device=device)
    parts = split(prepared, config.split)
    inputs = {name: value.to(device) for name, value in prepared.batch(parts.test).inputs.items()}
    with torch.inference_mode():
        logits = {name: value.cpu() for name, value in result.network.to(device)(inputs).items()}
    steps = epochs * -(-len(parts.train) // config.training.batch_size)
    return Predictions(logits["lesion"].sigmoid()[:, 0].numpy(), logits["diagnosis"].softmax(1).numpy(), steps)
