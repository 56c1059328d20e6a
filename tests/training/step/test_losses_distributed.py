"""Every loss there is, by two real gloo processes and by one, on the same global batches with labels missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch

from branchpoint.config import (
    AnyTaskConfig,
    ClassificationConfig,
    Config,
    DistanceMapConfig,
    DomainConfig,
    MultilabelConfig,
    OrdinalConfig,
    ReconstructionConfig,
    RegressionConfig,
    SegmentationConfig,
    SemiSupervisedConfig,
    SurvivalConfig,
)
from branchpoint.config.tasks import TASK_CONFIGS
from tests.training.flat_cohort import DISC, HOG, LARGE, FlatCohort, flat_config
from tests.training.global_batch import gradients, history
from tests.training.two_processes import Computed, alone_and_by_two

SEMI = SemiSupervisedConfig(threshold=0.6, start=0.0, ramp=0.0, consistency_weight=0.5, noise=0.3)


class ManyLabels(FlatCohort):
    """Labels of every kind, of which each misses some."""

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.default_rng(1)
        count = len(self)
        self.targets |= {
            "grade": "classification",
            "signs": "multilabel",
            "size": "regression",
            "parts": "segmentation",
        }
        self.labels |= {
            "grade": generator.integers(0, 3, count),
            "signs": generator.integers(0, 2, (count, 3)).astype(np.float32),
            "size": generator.normal(50, 10, count).astype(np.float32),
            "parts": self.mask * generator.integers(1, 3, (count, 1, 1, 1)).astype(np.uint8),
        }
        for number, name in enumerate(self.targets):
            self.labelled[name] = np.arange(count) % (number + 3) != 1


def tasks() -> tuple[AnyTaskConfig, ...]:
    masks: list[AnyTaskConfig] = []
    for loss in ("dice", "ce", "focal", "dice_focal", "dice_ce", "tversky", "tversky_ce"):
        weighted = loss in ("ce", "dice_ce", "tversky_ce")
        masks += [
            replace(DISC, name=f"disc_{loss}", loss=loss, class_weights=(1.0, 3.0) if weighted else ()),
            SegmentationConfig(
                name=f"parts_{loss}",
                target="parts",
                foreground_classes=2,
                loss=loss,
                class_weights=(1.0, 3.0, 5.0) if weighted else (),
            ),
        ]
    return (
        *masks,
        *(
            DistanceMapConfig(
                name=f"distance_{loss}", target="parts", foreground_classes=2, limit_voxels=4.0, loss=loss
            )
            for loss in get_args(get_type_hints(DistanceMapConfig)["loss"])
        ),
        SurvivalConfig(name="breslow", target="survival"),
        SurvivalConfig(name="efron", target="survival", ties="efron"),
        SurvivalConfig(name="ranking", target="survival", loss="ranking"),
        replace(LARGE, class_weights=(1.0, 4.0)),
        ClassificationConfig(name="grade", target="grade", classes=3),
        OrdinalConfig(name="ordered", target="grade", classes=3),
        MultilabelConfig(name="signs", target="signs", labels=3, positive_weights=(1.0, 2.0, 3.0)),
        MultilabelConfig(name="one_of_three", target="grade", labels=3),
        RegressionConfig(name="squared", target="size", center=50.0, scale=10.0),
        RegressionConfig(name="absolute", target="size", loss="mae", center=50.0, scale=10.0),
        ReconstructionConfig(name="image", channels=3),
        ReconstructionConfig(name="image_mae", channels=3, loss="mae"),
        HOG,
        DomainConfig(name="center", domains=("A", "B"), ramp=False),
    )


def scenarios(folder: Path) -> dict[str, Any]:
    def alone(task: AnyTaskConfig) -> Config:
        return flat_config(DISC, task) if task.auxiliary else flat_config(task)

    semi = flat_config(DISC, LARGE, semi_supervised=SEMI)
    found = {task.name: gradients(alone(task), ManyLabels(), (7, 4, 1)) for task in tasks()}
    return found | {"semi-supervised": history(semi, ManyLabels(), folder / "semi")["history"]}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    return alone_and_by_two(scenarios, tmp_path_factory.mktemp("losses"), "sksurv.metrics")


@pytest.mark.parametrize("name", [task.name for task in tasks()])
def test_the_gradient_of_the_global_batch(computed: Computed, name: str) -> None:
    """Uneven shares, a batch smaller than the workers, and labels that one worker lacks."""
    alone, several = computed
    learned = 0.0
    for step, expected in enumerate(alone[name]):
        for worker in several:
            found = worker[name][step]
            assert found["losses"] == pytest.approx(expected["losses"], rel=1e-5, abs=1e-7)
            assert found["gradient"].keys() == expected["gradient"].keys()
            for parameter, gradient in expected["gradient"].items():
                torch.testing.assert_close(found["gradient"][parameter], gradient, rtol=1e-4, atol=2e-6)
        learned += sum(float(gradient.abs().sum()) for gradient in expected["gradient"].values())
    assert learned > 0


def test_a_teacher_guides_both_workers_as_one(computed: Computed) -> None:
    alone, several = computed
    for worker in several:
        for found, expected in zip(worker["semi-supervised"], alone["semi-supervised"], strict=True):
            assert found == pytest.approx(expected, rel=2e-4, abs=2e-5, nan_ok=True)


def test_no_kind_of_task_and_no_loss_is_left_out() -> None:
    assert {type(task) for task in tasks()} == set(TASK_CONFIGS.values())
    for kind in TASK_CONFIGS.values():
        choices = get_args(get_type_hints(kind).get("loss"))
        assert not choices or {task.loss for task in tasks() if isinstance(task, kind)} == set(choices)  # type: ignore[attr-defined]
