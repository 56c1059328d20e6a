"""Partial labels cost nothing but themselves; a teacher's answers and agreement with it are closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from branchpoint.balancing import TaskLoss
from branchpoint.config import MultilabelConfig, OrdinalConfig, SemiSupervisedConfig
from branchpoint.tasks import build_task
from branchpoint.training.loop import fit
from branchpoint.training.run import build_run
from branchpoint.training.step.losses import task_losses
from branchpoint.training.step.same_batch import SameBatch
from branchpoint.training.step.semi_supervised import guide, rampup
from branchpoint.training.step.teacher import Teacher
from tests.training.flat_cohort import DISC, HOG, LARGE, SURVIVAL, FlatCohort, flat_config

CPU = torch.device("cpu")
SEMI = SemiSupervisedConfig(threshold=0.6, start=0.0, ramp=0.0, consistency_weight=0.5, noise=0.3)


def partly_labelled(target: str = "disc") -> FlatCohort:
    """Half of one task's labels are gone."""
    cohort = FlatCohort()
    cohort.labelled[target][::2] = False
    return cohort


def test_missing_labels_drop_no_image_and_change_no_other_loss() -> None:
    config = flat_config(DISC, LARGE, HOG)
    whole, part = build_run(config, FlatCohort(), CPU), build_run(config, partly_labelled(), CPU)
    for epoch in (1, 2):
        drawn = [np.sort(np.concatenate(run.sampler.epoch(epoch))) for run in (whole, part)]
        assert (drawn[0] == drawn[1]).all()
        assert set(drawn[1]) == set(part.folds.train)
    indices = whole.folds.train[:6]
    losses = []
    for run in (whole, part):
        batch = run.prepared.batch(indices)
        labelled = {name: values[indices] for name, values in run.prepared.labelled.items()}
        losses.append(task_losses(run.trained, run.network.eval()(batch.inputs), batch, labelled, run.workers))
    for name in ("large", "hog"):
        assert torch.equal(losses[0][name].value, losses[1][name].value)
    rows = np.isin(indices, np.arange(1, 24, 2))
    batch = whole.prepared.batch(indices[rows])
    alone = build_task(DISC).loss(whole.network(batch.inputs)["disc"], *build_task(DISC).target(batch))
    torch.testing.assert_close(losses[1]["disc"].value, alone.detach())


def test_images_without_any_label_train_the_auxiliary_task() -> None:
    cohort = FlatCohort()
    config = flat_config(LARGE, HOG)
    run = build_run(config, cohort, CPU)
    nobody = {name: np.zeros(4, bool) for name in cohort.targets}
    indices = run.folds.train[:4]
    for name in cohort.targets:
        cohort.labelled[name] = np.zeros(24, bool)
    batch = run.prepared.batch(indices)
    losses = task_losses(run.trained, run.network(batch.inputs), batch, nobody, run.workers)
    assert list(losses) == ["hog"]
    losses["hog"].share.backward()
    assert any(p.grad is not None and p.grad.any() for p in run.network.encoder.parameters())


def test_figures_state_how_many_labels_they_rest_on() -> None:
    cohort = partly_labelled()
    result = fit(flat_config(DISC, LARGE, epochs=1), cohort, device="cpu")
    validation = build_run(flat_config(DISC, LARGE), cohort, CPU).folds.validation
    assert result.metrics["validation/disc/n"] == cohort.labelled["disc"][validation].sum() < len(validation)
    assert result.metrics["validation/large/n"] == len(validation)


def test_rampup() -> None:
    config = SemiSupervisedConfig(start=0.2, ramp=0.4)
    assert rampup(config, 0.19) == 0
    assert rampup(config, 0.2) == pytest.approx(np.exp(-5))
    assert rampup(config, 0.4) == pytest.approx(np.exp(-5 / 4))
    assert rampup(config, 0.6) == rampup(config, 0.9) == 1
    assert rampup(replace(config, ramp=0.0), 0.2) == 1


def test_the_teacher_is_a_moving_average() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    teacher = Teacher(network)
    first = teacher.network[0].weight.clone()
    weights = []
    for step in range(3):
        with torch.no_grad():
            network[0].weight.add_(1.0)
        network[1].running_mean.fill_(step)
        weights.append(network[0].weight.detach().clone())
        teacher.follow(network, 0.5, step)
    expected = weights[0]  # the first step copies
    for weight in weights[1:]:
        expected = 0.5 * expected + 0.5 * weight
    torch.testing.assert_close(teacher.network[0].weight.data, expected)
    assert not torch.equal(first, expected)
    assert teacher.network[1].running_mean.tolist() == [2, 2]
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert not teacher.network.training


@pytest.mark.parametrize(
    ("config", "logits", "target", "sure"),
    [
        (LARGE, [[0.0, 3.0], [0.0, 0.1]], [1, 1], [True, False]),
        (OrdinalConfig(name="o", target="o", classes=3), [[4.0, 4.0], [0.0, 0.0]], [2, 0], [True, False]),
        (MultilabelConfig(name="m", target="m", labels=2), [[3.0, -3.0], [3.0, 0.1]], [[1, 0], [1, 1]], [True, False]),
    ],
)
def test_pseudo_labels_of_images(config: Any, logits: Any, target: Any, sure: Any) -> None:
    labels, confident = build_task(config).pseudo_labels(torch.tensor(logits), 0.9)
    assert labels.tolist() == target
    assert confident.tolist() == sure


def test_pseudo_labels_of_pixels_leave_out_what_is_unsure() -> None:
    ids, sure = build_task(DISC).pseudo_labels(torch.tensor([[[[5.0, -5.0, 0.1]]], [[[0.1, 0.2, 0.0]]]]), 0.9)
    assert ids.tolist() == [[[[1, 0, 255]]], [[[255, 255, 255]]]]
    assert sure.tolist() == [True, False]
    several = build_task(replace(DISC, foreground_classes=2))
    ids, _ = several.pseudo_labels(torch.tensor([[[9.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.2]]])[None], 0.9)
    assert ids.tolist() == [[[[0, 255]]]]


def test_tasks_without_probabilities_are_left_alone() -> None:
    for config in (SURVIVAL, HOG):
        task = build_task(config)
        assert task.probabilities(torch.zeros(2, task.outputs)) is None
        assert task.pseudo_labels(torch.zeros(2, task.outputs), 0.9) is None


def guided(cohort: FlatCohort, rows: slice = slice(0, 8)) -> tuple[Any, Any, np.ndarray]:
    """A run, what its teacher says of eight samples, and which."""
    run = build_run(flat_config(DISC, LARGE, SURVIVAL, semi_supervised=SEMI), cohort, CPU)
    indices = run.folds.train[rows]
    return run, guide(run, run.prepared.batch(indices), indices, 1, 0, 0.5), indices


def test_terms_are_the_closed_forms() -> None:
    run, guidance, indices = guided(partly_labelled("large"))
    same = SameBatch(run, indices, guidance.batch, guidance)
    outputs, losses = same.losses()
    labelled = {name: values[indices] for name, values in run.prepared.labelled.items()}
    plain = task_losses(run.trained, outputs, guidance.batch, labelled, run.workers)
    assert torch.equal(losses["survival"].value, plain["survival"].value)
    answers = guidance.answers["large"].softmax(1)
    sure, label = answers.max(1)
    usable = (sure >= SEMI.threshold) & ~torch.from_numpy(labelled["large"])
    entropy = nn.functional.cross_entropy(outputs["large"], label, reduction="none")
    apart = (outputs["large"].softmax(1) - answers).square().mean()
    pseudo = (entropy * usable).sum() / (~labelled["large"]).sum()
    torch.testing.assert_close(losses["large"].value, plain["large"].value + (pseudo + 0.5 * apart).detach())
    # Everybody has a mask: consistency alone.
    apart = (outputs["disc"].sigmoid() - guidance.answers["disc"].sigmoid()).square().mean()
    torch.testing.assert_close(losses["disc"].value, plain["disc"].value + 0.5 * apart.detach())


def test_the_network_sees_noise_and_targets_do_not() -> None:
    run, guidance, _ = guided(FlatCohort())
    noise = guidance.seen.inputs["image"] - guidance.batch.inputs["image"]
    assert float(noise.std()) == pytest.approx(SEMI.noise, rel=0.1)
    assert guide(run, guidance.batch, np.arange(8), 1, 0, 0.5) is not None
    late = replace(run.config.training.semi_supervised, start=0.6)
    config = replace(run.config, training=replace(run.config.training, semi_supervised=late))
    assert guide(replace(run, config=config), guidance.batch, np.arange(8), 1, 0, 0.5) is None


class Part:
    """Worker ``rank`` of two, without the other: what it would add up is kept."""

    together = True
    size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def part(self, count: int, rank: int | None = None) -> slice:
        return slice(count * self.rank // 2, count * (self.rank + 1) // 2)

    rows = part

    def add_up(self, tensors: list[Tensor]) -> None:
        return


def test_two_workers_add_up_to_one() -> None:
    """Also where one of them holds all the unlabelled samples."""
    cohort = FlatCohort()
    run, guidance, indices = guided(cohort)
    cohort.labelled["large"][indices[:3]] = False
    labelled = {name: values[indices] for name, values in cohort.labelled.items()}

    def terms(guidance: Any, rows: slice) -> dict[str, TaskLoss]:
        batch = cohort.batch(indices[rows])
        answers = {name: values[rows] for name, values in guidance.answers.items()}
        outputs = {name: values[rows] for name, values in whole.items()}
        half = rows.stop - rows.start == 4
        worker = replace(run, workers=Part(rows.start // 4)) if half else run
        mine = replace(guidance, run=worker, batch=batch, answers=answers)
        return mine.added_to({}, outputs, labelled)

    whole = {name: values.detach() for name, values in run.network(guidance.seen.inputs).items()}
    together = terms(guidance, slice(0, 8))
    halves = [terms(guidance, slice(0, 4)), terms(guidance, slice(4, 8))]
    assert together.keys() == halves[0].keys() == {"disc", "large"}
    for name, loss in together.items():
        torch.testing.assert_close(halves[0][name].share + halves[1][name].share, loss.share)


def test_a_resumed_run_equals_the_unbroken_one(tmp_path: Any) -> None:
    config = flat_config(DISC, LARGE, semi_supervised=SEMI, epochs=3)
    unbroken = fit(config, partly_labelled(), device="cpu")
    fit(config, partly_labelled(), checkpoint_dir=tmp_path, report=lambda entry: entry.epoch < 2, device="cpu")
    resumed = fit(config, partly_labelled(), checkpoint_dir=tmp_path, device="cpu")
    assert [repr(entry.metrics) for entry in resumed.history] == [repr(entry.metrics) for entry in unbroken.history]


def test_a_batch_without_labels_learns_from_the_teacher() -> None:
    cohort = FlatCohort()
    run, guidance, indices = guided(cohort)
    nobody = {name: np.zeros(8, bool) for name in cohort.targets}
    cohort.labelled = {name: np.zeros(24, bool) for name in cohort.targets}
    blank = replace(guidance, batch=cohort.batch(indices))
    losses = blank.added_to({}, run.network(blank.seen.inputs), nobody)
    assert set(losses) == {"disc", "large"}
    sum(loss.share for loss in losses.values()).backward()
    assert any(p.grad.any() for p in run.network.encoder.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pseudo_weight": 0.0}, "pseudo_weight or consistency_weight must be positive"),
        ({"threshold": 0.3}, r"threshold is 0.3: must lie in \[0.5, 1\)"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SemiSupervisedConfig(**settings)
