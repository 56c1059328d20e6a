"""Every registered kind of task keeps the contract of ``Task``."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from branchpoint.config import (
    ClassificationConfig,
    DistanceMapConfig,
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
from branchpoint.datasets.batch import Batch
from branchpoint.tasks import TASKS, Task, build_task

CONFIGS = [
    SegmentationConfig(name="tumour", target="tumour"),
    SegmentationConfig(name="tumour", target="tumour", foreground_classes=2, loss="dice_focal"),
    DistanceMapConfig(name="distance", target="tumour", foreground_classes=2, limit_voxels=3.0),
    SurvivalConfig(name="survival", target="survival"),
    ClassificationConfig(name="grade", target="grade", classes=3),
    MultilabelConfig(name="signs", target="signs", labels=3),
    OrdinalConfig(name="stage", target="grade", classes=3),
    RegressionConfig(name="age", target="age", center=3.0, scale=2.0),
    ReconstructionConfig(name="image", channels=2),
    HogConfig(name="hog", cell=4, window=(16, 16)),
    DomainConfig(name="center", domains=("A", "B", "C")),
]


N = 6
LABELS = {
    "tumour": (torch.arange(N * 64) % 3).view(N, 1, 8, 8).to(torch.uint8),
    "survival": torch.stack([torch.arange(1.0, N + 1), torch.arange(N) % 2], 1),
    "grade": torch.arange(N) % 3,
    "signs": (torch.arange(N * 3) % 2).view(N, 3).float(),
    "age": torch.arange(N).float(),
    "center": torch.arange(N) % 3,
}


def batch_for(config: TaskConfig) -> Batch:
    """Six samples; the last has no label."""
    image = torch.rand(N, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = dict(LABELS)
    if isinstance(config, SegmentationConfig):
        labels["tumour"] = labels["tumour"] % (config.foreground_classes + 1)
    labelled = dict.fromkeys(labels, torch.tensor([True] * (N - 1) + [False]))
    return Batch({"image": image}, labels, labelled, torch.arange(N))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_contract(config: TaskConfig) -> None:
    task, batch = build_task(config), batch_for(config)
    target, labelled = task.target(batch)
    of_cohort = {name: values.numpy() for name, values in batch.labelled.items()}
    assert task.known(of_cohort, N).tolist() == labelled.tolist()
    computed = not config.target_kinds and config.target == "image"
    assert labelled.tolist() == [True] * (N - 1) + [computed]
    shape = (N, task.outputs, 8, 8) if task.dense else (N, task.outputs)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = task.loss(logits, target, labelled)
    loss.backward()
    assert loss.shape == ()
    assert loss.item() > 0
    assert logits.grad[-1].any() == computed
    summary = {k: v.numpy() for k, v in task.summarize(logits.detach(), target, labelled).items()}
    assert all(len(values) == N for values in summary.values())
    assert summary["labelled"].tolist() == labelled.tolist()
    metrics = task.metrics(summary)
    assert metrics[task.primary_metric] <= 1
    assert 0 <= task.chance < 1
    resampled = task.resampled(summary, np.ones((2, N), dtype=int))
    assert resampled[task.primary_metric] == pytest.approx([metrics[task.primary_metric]] * 2)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_resampled_metrics_equal_those_of_the_resample(config: TaskConfig) -> None:
    task, batch = build_task(config), batch_for(config)
    target, labelled = task.target(batch)
    shape = (N, task.outputs, 8, 8) if task.dense else (N, task.outputs)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    summary = {k: v.numpy() for k, v in task.summarize(logits, target, labelled).items()}
    counts = np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), size=20)
    fast, slow = task.resampled(summary, counts), Task.resampled(task, summary, counts)
    for name, values in fast.items():
        np.testing.assert_allclose(values, slow[name], atol=1e-9, err_msg=name)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_nothing_labelled_has_no_metric_and_a_zero_on_the_graph(config: TaskConfig) -> None:
    task, batch = build_task(config), batch_for(config)
    target, _ = task.target(batch)
    nobody = torch.zeros(N, dtype=torch.bool)
    shape = (N, task.outputs, 8, 8) if task.dense else (N, task.outputs)
    logits = torch.randn(shape, requires_grad=True)
    loss = task.loss(logits, target, nobody)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()
    metrics = task.metrics({k: v.numpy() for k, v in task.summarize(logits.detach(), target, nobody).items()})
    assert all(np.isnan(value) or name.startswith("n_") for name, value in metrics.items())


def test_every_kind_is_covered() -> None:
    assert {config.kind for config in CONFIGS} == set(TASKS)


def test_unknown_kind_is_named() -> None:
    class Riddle(TaskConfig):
        kind: ClassVar[str] = "riddle"

    with pytest.raises(ValueError, match=r"tasks\.x\.kind is 'riddle'"):
        build_task(Riddle(name="x", target="y"))
