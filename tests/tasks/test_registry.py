"""Every registered kind of task keeps the contract of ``Task``."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from branchpoint.config import ClassificationConfig, SegmentationConfig, SurvivalConfig, TaskConfig
from branchpoint.tasks import TASKS, build_task

CONFIGS = [
    SegmentationConfig(name="tumour", target="tumour"),
    SegmentationConfig(name="tumour", target="tumour", foreground_classes=2, loss="dice_focal"),
    SurvivalConfig(name="survival", target="survival"),
    ClassificationConfig(name="grade", target="grade", classes=3),
]


def targets(config: TaskConfig, n: int) -> torch.Tensor:
    if isinstance(config, SegmentationConfig):
        return (torch.arange(n * 64) % (config.foreground_classes + 1)).view(n, 1, 4, 4, 4).to(torch.uint8)
    if isinstance(config, SurvivalConfig):
        return torch.stack([torch.arange(1.0, n + 1), torch.arange(n) % 2], 1)
    return torch.arange(n) % 3


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_contract(config: TaskConfig) -> None:
    task = build_task(config)
    shape = (6, task.outputs, 4, 4, 4) if task.dense else (6, task.outputs)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labelled = torch.tensor([True, True, True, True, True, False])
    loss = task.loss(logits, targets(config, 6), labelled)
    loss.backward()
    assert loss.shape == ()
    assert loss.item() > 0
    assert not logits.grad[-1].any()
    summary = {k: v.numpy() for k, v in task.summarize(logits.detach(), targets(config, 6), labelled).items()}
    assert all(len(values) == 6 for values in summary.values())
    assert summary["labelled"].tolist() == labelled.tolist()
    metrics = task.metrics(summary)
    assert 0 <= metrics[task.primary_metric] <= 1
    assert 0 <= task.chance < 1
    resampled = task.resampled(summary, np.ones((2, 6), dtype=int))
    assert resampled[task.primary_metric] == pytest.approx([metrics[task.primary_metric]] * 2)


def test_every_kind_is_covered() -> None:
    assert {config.kind for config in CONFIGS} == set(TASKS)


def test_unknown_kind_is_named() -> None:
    class Riddle(TaskConfig):
        kind: ClassVar[str] = "riddle"

    with pytest.raises(ValueError, match=r"tasks\.x\.kind is 'riddle'"):
        build_task(Riddle(name="x", target="y"))
