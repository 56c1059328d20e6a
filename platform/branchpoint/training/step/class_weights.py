"""Weights of classes from how often the training samples have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from branchpoint.config import AnyTaskConfig, ClassificationConfig


def with_balanced_classes(task: AnyTaskConfig, samples: Any, train: np.ndarray) -> AnyTaskConfig:
    """``task`` with the weights that ``balanced`` asks for, from labelled training samples alone.

    A class of n_k of n samples weighs n / (K n_k), as scikit-learn's ``balanced`` does (King and Zeng 2001), so that
    the mean weight of a sample is 1. A class that no training sample has weighs 0.

    Args:
        task: of any kind; only classifications may ask for it.
        samples: the cohort, with ``labels`` and ``labelled``.
        train: positions of the training samples.
    """
    if not isinstance(task, ClassificationConfig) or not task.balanced:
        return task
    known = train[np.asarray(samples.labelled[task.target])[train].astype(bool)]
    counts = np.bincount(np.asarray(samples.labels[task.target])[known].astype(int), minlength=task.classes)
    present = np.count_nonzero(counts)
    weights = [float(counts.sum() / (present * count)) if count else 0.0 for count in counts]
    return replace(task, balanced=False, class_weights=tuple(weights))
