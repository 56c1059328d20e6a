"""Trivial answers to image-level tasks: what labels and a few numbers give, against the libraries and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from branchpoint.config import AnyTaskConfig, MultilabelConfig, OrdinalConfig, RegressionConfig
from branchpoint.evaluation.label_references import RIDGE, answers, guess_name, model_name
from branchpoint.evaluation.measurements import Mask, _areas
from branchpoint.tasks import build_task
from branchpoint.tasks.base import Summary, Task

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
FIT, TEST = np.arange(40), np.arange(40, 60)


def task_of(config: AnyTaskConfig) -> Task:
    return build_task(config)


def figures(task: Task, summary: Summary) -> dict[str, float]:
    return task.metrics({**summary, "labelled": np.ones(len(TEST), bool), "index": TEST})


def test_ordered_classes() -> None:
    task = task_of(OrdinalConfig(name="grade", target="grade", classes=3))
    labels = np.digitize(X[:, 0], [-0.5, 0.5])
    share = np.bincount(labels[FIT], minlength=3) / len(FIT)
    guess = answers(task, labels, None, FIT, TEST)
    np.testing.assert_allclose(guess["exceeds"], np.tile([share[1:].sum(), share[2]], (len(TEST), 1)))
    assert (guess_name(task), model_name(task)) == ("majority class", "logistic regression")
    model = LogisticRegression(C=1 / RIDGE, max_iter=1000).fit(X[FIT], labels[FIT]).predict_proba(X[TEST])
    fitted = answers(task, labels, X, FIT, TEST)
    np.testing.assert_allclose(fitted["exceeds"], np.stack([model[:, 1:].sum(1), model[:, 2]], 1), atol=1e-12)
    assert figures(task, fitted)["kappa"] > 0.8
    assert np.nan_to_num(figures(task, guess)["kappa"]) == 0


def test_several_labels_each_by_itself() -> None:
    task = task_of(MultilabelConfig(name="found", target="found", labels=2))
    labels = (np.array([1.0, -1.0]) * X > 0).astype(np.float32)
    guess = answers(task, labels, None, FIT, TEST)
    np.testing.assert_allclose(guess["probability"], np.tile(labels[FIT].mean(0), (len(TEST), 1)), rtol=1e-6)
    assert figures(task, answers(task, labels, X, FIT, TEST))["balanced_accuracy"] > 0.9
    assert guess_name(task) == "prevalence"
    always = np.ones_like(labels)
    assert (answers(task, always, X, FIT, TEST)["probability"] == 1).all(), "nothing to tell apart"


def test_a_class_for_each_sample_is_several_labels() -> None:
    task = task_of(MultilabelConfig(name="diagnosis", target="diagnosis", labels=3))
    labels = np.digitize(X[:, 1], [-0.5, 0.5])
    found = answers(task, labels, None, FIT, TEST)
    np.testing.assert_allclose(found["probability"][0], np.bincount(labels[FIT], minlength=3) / len(FIT))
    np.testing.assert_array_equal(found["label"].argmax(1), labels[TEST])


def test_numbers() -> None:
    task = task_of(RegressionConfig(name="ratio", target="ratio"))
    labels = 2 * X[:, 0] + 1
    guess, fitted = answers(task, labels, None, FIT, TEST), answers(task, labels, X, FIT, TEST)
    assert (guess["prediction"] == labels[FIT].mean()).all()
    expected = Ridge(alpha=RIDGE).fit(X[FIT], labels[FIT]).predict(X[TEST])
    np.testing.assert_allclose(fitted["prediction"], expected)
    assert figures(task, fitted)["r2"] > 0.99
    assert figures(task, guess)["r2"] <= 0
    assert (guess_name(task), model_name(task)) == ("training mean", "linear regression")


def test_areas_in_the_mask_are_logarithms_of_pixels_by_class() -> None:
    def mask(*classes: int) -> Mask:
        return Mask(np.arange(len(classes)), np.array(classes, np.uint8), np.zeros(0, np.int64))

    found = _areas([mask(1, 1, 2), mask(), None])
    np.testing.assert_allclose(found, [[np.log(3), np.log(2)], [0, 0], [np.nan, np.nan]])
    assert _areas([mask(), None]) is None


@pytest.mark.parametrize(
    "config",
    [
        OrdinalConfig(name="t", target="t", classes=2),
        RegressionConfig(name="t", target="t"),
        MultilabelConfig(name="t", target="t", labels=2),
    ],
)
def test_without_training_labels_the_answer_is_undefined(config: AnyTaskConfig) -> None:
    labels = np.zeros((60, 2)) if config.kind == "multilabel" else np.zeros(60)
    found = answers(task_of(config), labels, None, np.zeros(0, np.int64), TEST)
    name = {"ordinal": "exceeds", "regression": "prediction", "multilabel": "probability"}[config.kind]
    assert np.isnan(found[name]).all()
