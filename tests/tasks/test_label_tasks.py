"""Multi-label, ordinal and regression tasks against scikit-learn, torch and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from branchpoint.config import MultilabelConfig, OrdinalConfig, ReconstructionConfig, RegressionConfig
from branchpoint.datasets.batch import Batch
from branchpoint.tasks import Task, build_task

EVERYONE = torch.ones(30, dtype=torch.bool)


def multilabel(labels: int = 4, weights: tuple[float, ...] = ()) -> Task:
    return build_task(MultilabelConfig(name="signs", target="signs", labels=labels, positive_weights=weights))


def ordinal(classes: int = 4) -> Task:
    return build_task(OrdinalConfig(name="grade", target="grade", classes=classes))


def regression(**more: object) -> Task:
    return build_task(RegressionConfig(name="age", target="age", **more))


def metrics(task: Task, logits: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    known = torch.ones(len(logits), dtype=torch.bool)
    return task.metrics({name: values.numpy() for name, values in task.summarize(logits, target, known).items()})


def draw(labels: int = 4, seed: int = 0, n: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, labels, generator=generator), (torch.rand(n, labels, generator=generator) < 0.3).float()


def test_weighted_binary_cross_entropy_is_torchs() -> None:
    logits, target = draw()
    weights = (1.0, 2.0, 0.5, 4.0)
    expected = F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(weights))
    torch.testing.assert_close(multilabel(weights=weights).loss(logits, target, EVERYONE), expected)


@pytest.mark.parametrize("seed", range(3))
def test_multilabel_metrics_match_scikit_learn(seed: int) -> None:
    from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

    logits, target = draw(seed=seed)
    found = metrics(multilabel(), logits, target)
    truth, answer = target.numpy().astype(int), (logits > 0).numpy().astype(int)
    assert found["micro_accuracy"] == pytest.approx((truth == answer).mean())
    assert found["micro_sensitivity"] == pytest.approx(recall_score(truth, answer, average="micro"))
    assert found["micro_specificity"] == pytest.approx(recall_score(1 - truth, 1 - answer, average="micro"))
    assert found["auc"] == pytest.approx(roc_auc_score(truth, logits.numpy(), average="macro"))
    each = [balanced_accuracy_score(truth[:, k], answer[:, k]) for k in range(4)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(each))


def test_one_class_per_sample_becomes_one_label_for_each_class() -> None:
    batch = Batch(
        {"image": torch.zeros(3, 1, 2, 2)},
        {"signs": torch.tensor([2, 0, 1])},
        {"signs": torch.tensor([True, True, False])},
        torch.arange(3),
    )
    target, labelled = multilabel(3).target(batch)
    assert target.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert labelled.tolist() == [True, True, False]


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_ordinal_loss_is_minus_the_log_of_a_distribution(logits: list[float], label: int) -> None:
    z = torch.tensor([logits], dtype=torch.float64)
    further = z.sigmoid().cumprod(1)[0]
    probability = torch.cat([torch.ones(1), further]) - torch.cat([further, torch.zeros(1)])
    assert float(probability.sum()) == pytest.approx(1)
    assert (further[1:] <= further[:-1]).all()
    loss = ordinal().loss(z.float(), torch.tensor([label]), torch.ones(1, dtype=torch.bool))
    # -log of 1 - sigmoid loses digits near 1: the sum of its factors does not.
    exact = -F.logsigmoid(z[0, :label]).sum() - (F.logsigmoid(-z[0, label]) if label < 3 else 0.0)
    assert float(loss) == pytest.approx(float(exact), rel=1e-5, abs=1e-6)


def test_two_ordered_classes_are_logistic_regression() -> None:
    logits, target = torch.randn(30, 1), (torch.arange(30) % 2)
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], target.float())
    torch.testing.assert_close(ordinal(2).loss(logits, target, EVERYONE), expected)


@pytest.mark.parametrize("seed", range(3))
def test_ordinal_metrics_match_scikit_learn(seed: int) -> None:
    from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

    generator = torch.Generator().manual_seed(seed)
    logits, target = 2 * torch.randn(30, 3, generator=generator), torch.randint(0, 4, (30,), generator=generator)
    found = metrics(ordinal(), logits, target)
    answer = (logits.sigmoid().cumprod(1) > 0.5).sum(1).numpy()
    assert found["kappa"] == pytest.approx(cohen_kappa_score(target, answer, weights="quadratic"))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(target, answer))
    assert found["mae"] == pytest.approx(np.abs(target.numpy() - answer).mean())


@pytest.mark.parametrize(("loss", "theirs"), [("mse", F.mse_loss), ("mae", F.l1_loss)])
def test_regression_loss_is_torchs_in_units_of_the_scale(loss: str, theirs: object) -> None:
    prediction, target = torch.randn(30, 1), 60 + 10 * torch.randn(30)
    task = regression(loss=loss, center=60.0, scale=10.0)
    torch.testing.assert_close(task.loss(prediction, target, EVERYONE), theirs(prediction[:, 0], (target - 60) / 10))


def test_regression_metrics_match_scikit_learn() -> None:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(30, 1, generator=generator), 60 + 10 * torch.randn(30, generator=generator)
    found = metrics(regression(center=60.0, scale=10.0), prediction, target)
    answer = 60 + 10 * prediction[:, 0].numpy()
    assert found["r2"] == pytest.approx(r2_score(target, answer))
    assert found["mae"] == pytest.approx(mean_absolute_error(target, answer))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(target, answer))


def test_equal_values_leave_the_explained_variance_undefined() -> None:
    assert math.isnan(metrics(regression(), torch.randn(5, 1), torch.full((5,), 1234.567))["r2"])


def test_reconstruction_is_of_the_image() -> None:
    task = build_task(ReconstructionConfig(name="image", channels=2))
    image = torch.randn(4, 2, 5, 5)
    target, known = task.target(Batch({"image": image}, {}, {}, torch.arange(4)))
    assert known.all()
    assert metrics(task, image, target)["r2"] == pytest.approx(1)
    mean = metrics(task, image.mean() * torch.ones_like(image), target)
    assert mean["r2"] == pytest.approx(0, abs=1e-5)
    assert mean["mse"] == pytest.approx(float(image.var(unbiased=False)), rel=1e-4)
