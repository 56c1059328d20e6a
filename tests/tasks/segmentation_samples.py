"""A segmentation task with its options, and random logits and masks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from branchpoint.config import SegmentationConfig
from branchpoint.tasks import build_task
from branchpoint.tasks.segmentation import SegmentationTask


def task(classes: int = 1, loss: str = "dice", **more: object) -> SegmentationTask:
    settings = {"foreground_classes": classes, "loss": loss, **more}
    built = build_task(SegmentationConfig(name="tumour", target="tumour", **settings))
    assert isinstance(built, SegmentationTask)
    return built


def sample(classes: int, seed: int = 0, shape: tuple[int, ...] = (5, 6, 7), batch: int = 3) -> tuple[Tensor, Tensor]:
    """Random logits and class ids in which every class occurs."""
    generator = torch.Generator().manual_seed(seed)
    channels = 1 if classes == 1 else classes + 1
    logits = 3 * torch.randn(batch, channels, *shape, generator=generator)
    return logits, torch.randint(0, classes + 1, (batch, 1, *shape), generator=generator).to(torch.uint8)


def summary_of(built: SegmentationTask, logits: Tensor, target: Tensor) -> dict[str, np.ndarray]:
    everyone = torch.ones(len(logits), dtype=torch.bool)
    return {name: values.numpy() for name, values in built.summarize(logits, target, everyone).items()}
