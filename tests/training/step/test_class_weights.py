"""Classes that weigh as much as they are rare, and smoothed targets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from branchpoint.config import ClassificationConfig, SegmentationConfig
from branchpoint.tasks import build_task
from branchpoint.training.step.class_weights import with_balanced_classes

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 1, 0, 2])
TRAIN = np.array([0, 1, 2, 3, 4, 5, 6, 8])
TASK = ClassificationConfig(name="grade", target="grade", classes=3, balanced=True)


def samples(labelled: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(labels={"grade": LABELS}, labelled={"grade": labelled})


def test_weights_are_those_of_scikit_learn_on_labelled_training_samples() -> None:
    labelled = np.ones(len(LABELS), bool)
    labelled[4] = False
    found = with_balanced_classes(TASK, samples(labelled), TRAIN)
    assert isinstance(found, ClassificationConfig)
    known = LABELS[TRAIN[labelled[TRAIN]]]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=known)
    assert found.class_weights == pytest.approx(expected)
    assert np.mean(np.array(found.class_weights)[known]) == pytest.approx(1), "a sample weighs 1 on the average"


def test_a_class_without_training_samples_weighs_nothing() -> None:
    found = with_balanced_classes(TASK, samples(np.ones(len(LABELS), bool)), np.array([0, 1, 2, 4]))
    assert isinstance(found, ClassificationConfig)
    assert found.class_weights == pytest.approx((4 / 6, 2.0, 0.0))


def test_other_tasks_stay_as_they_are() -> None:
    plain = ClassificationConfig(name="grade", target="grade", classes=3)
    outline = SegmentationConfig(name="outline", target="outline")
    for task in (plain, outline):
        assert with_balanced_classes(task, samples(np.ones(len(LABELS), bool)), TRAIN) is task
    with pytest.raises(ValueError, match=r"balanced is True: class_weights are given, too"):
        ClassificationConfig(name="grade", target="grade", classes=2, class_weights=(1, 2), balanced=True)


def test_smoothed_targets_are_those_of_torch() -> None:
    task = build_task(ClassificationConfig(name="grade", target="grade", classes=3, label_smoothing=0.2))
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    expected = nn.CrossEntropyLoss(label_smoothing=0.2)(logits, target)
    assert task.loss(logits, target, torch.ones(6, dtype=torch.bool)) == pytest.approx(expected.item(), rel=1e-6)
