"""Networks of one fold that answer as one: the mean of their probabilities, on patients whom none has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from branchpoint.config import MultilabelConfig, OrdinalConfig, SegmentationConfig
from branchpoint.evaluation.averaged import AveragedNetworks
from branchpoint.execution.attempt import execute
from branchpoint.execution.ensembles import evaluate_ensemble, mirrored_axes
from branchpoint.execution.held_out import evaluate_run
from branchpoint.execution.run_spec import RunSpec
from branchpoint.tasks import build_task
from tests.execution.flat_setup import flat_setup
from tests.training.flat_cohort import DISC, LARGE, SURVIVAL, FlatCohort, flat_config


class Fixed(nn.Module):
    """Gives the same answers, whatever it sees, but for a map of the image itself."""

    def __init__(self, answers: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.answers = dict(answers)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**self.answers, "disc": self.answers["disc"] + inputs["image"][:, :1]}


@pytest.mark.parametrize(
    "config",
    [
        DISC,
        SegmentationConfig(name="m", target="m", foreground_classes=2),
        LARGE,
        MultilabelConfig(name="l", target="l", labels=3),
        OrdinalConfig(name="o", target="o", classes=4),
    ],
    ids=lambda config: f"{config.kind}-{config.name}",
)
def test_logits_give_their_probabilities_again(config: Any) -> None:
    task = build_task(config)
    logits = torch.randn(5, task.outputs, *((4, 4) if task.dense else ()), generator=torch.Generator().manual_seed(0))
    probabilities = task.probabilities(logits)
    assert probabilities is not None
    again = task.probabilities(task.logits(probabilities))
    assert again is not None
    torch.testing.assert_close(again, probabilities, atol=1e-6, rtol=1e-5)


def test_means_of_probabilities_and_of_standardised_risks() -> None:
    """Against the definition in numpy, with a mirrored copy whose map is turned back."""
    draw = torch.Generator().manual_seed(1)
    answers = [
        {
            "disc": torch.randn(2, 1, 4, 4, generator=draw),
            "large": torch.randn(2, 2, generator=draw),
            "survival": torch.randn(2, 1, generator=draw),
        }
        for _ in range(2)
    ]
    image = torch.randn(2, 3, 4, 4, generator=draw)
    scales = [{"survival": (0.5, 2.0)}, {"survival": (-1.0, 0.1)}]
    tasks = [build_task(task) for task in (DISC, LARGE, SURVIVAL)]
    found = AveragedNetworks([Fixed(a) for a in answers], tasks, scales, [(-1,)])({"image": image})
    maps = [a["disc"] + image[:, :1] for a in answers] + [a["disc"].flip(-1) + image[:, :1] for a in answers]
    expected = np.mean([1 / (1 + np.exp(-values.double().numpy())) for values in maps], axis=0)
    np.testing.assert_allclose(found["disc"].sigmoid().numpy(), expected, atol=1e-6)
    large = np.mean([a["large"].softmax(1).numpy() for a in answers], axis=0)
    np.testing.assert_allclose(found["large"].softmax(1).numpy(), large, atol=1e-6)
    risk = ((answers[0]["survival"] - 0.5) / 2 + (answers[1]["survival"] + 1) / 0.1) / 2
    torch.testing.assert_close(found["survival"], risk)


def test_seeds_of_a_fold_together(tmp_path: Path) -> None:
    setup = flat_setup(tmp_path)
    config = flat_config(DISC, LARGE, SURVIVAL, epochs=2)
    specs = [RunSpec(f"seed{seed}", replace(config, seed=seed), stage="final") for seed in (0, 1)]
    for spec in specs:
        assert execute(spec, setup, lambda *_: None).state == "COMPLETE"
    together, singles = evaluate_ensemble(specs, setup), [evaluate_run(spec, setup) for spec in specs]
    mean = np.mean([single["large"]["probability"] for single in singles], axis=0)
    np.testing.assert_allclose(together["large"]["probability"], mean, atol=1e-6)
    assert {"calibrated", "temperature"} <= set(together["large"]), "chosen on validation, as for one network"
    np.testing.assert_array_equal(together["disc"]["index"], singles[0]["disc"]["index"])
    alone = evaluate_ensemble(specs[:1], setup)
    for name, values in evaluate_run(specs[0], setup)["disc"].items():
        np.testing.assert_array_equal(alone["disc"][name], values)


def test_only_what_training_mirrored_is_mirrored() -> None:
    config = flat_config(DISC, LARGE)
    given = config.training.augmentation
    assert given is not None

    def axes(cohort: Any, **changes: Any) -> list[tuple[int, ...]]:
        augmentation = replace(given, **changes)
        return mirrored_axes(replace(config, training=replace(config.training, augmentation=augmentation)), cohort)

    cohort = FlatCohort()
    assert axes(cohort, mirror=False, flip=False) == []
    assert axes(cohort, mirror=True, flip=False) == [(-1,)]
    cohort.class_names = {"large": ("left eye", "right eye")}  # type: ignore[attr-defined]
    assert axes(cohort, mirror=True, flip=False) == []
