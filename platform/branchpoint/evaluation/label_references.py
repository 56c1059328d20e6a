"""Trivial answers to image-level tasks: what the training labels alone say, and a linear model of a few numbers.

Classes and ordered classes: their shares, and logistic regression. Several labels: the share of each, and a logistic
regression for each. Numbers: their mean, and linear regression.
"""

from __future__ import annotations

import numpy as np

from branchpoint.tasks.base import Summary, Task
from branchpoint.tasks.classification import ClassificationTask
from branchpoint.tasks.multilabel import MultilabelTask
from branchpoint.tasks.ordinal import OrdinalTask
from branchpoint.tasks.regression import RegressionTask

RIDGE = 0.1
"""Penalty RIDGE / 2 |w|^2 on standardised coefficients: keeps them finite where patients are separable."""

PREVALENCE = "majority class"
LABEL_TASKS = (ClassificationTask, OrdinalTask, MultilabelTask, RegressionTask)


def guess_name(task: Task) -> str:
    """What the answer without any number is called."""
    if isinstance(task, RegressionTask):
        return "training mean"
    return "prevalence" if isinstance(task, MultilabelTask) else PREVALENCE


def model_name(task: Task) -> str:
    """What the linear model is called."""
    return "linear regression" if isinstance(task, RegressionTask) else "logistic regression"


def answers(task: Task, labels: np.ndarray, x: np.ndarray | None, fit: np.ndarray, test: np.ndarray) -> Summary:
    """The summary of ``task`` on ``test``, without ``labelled`` and ``index``.

    Args:
        labels: of the whole cohort, of the task's kind.
        x: float (N, F), standardised numbers of the whole cohort; ``None`` answers from the labels alone.
        fit: positions of labelled samples to learn from.
        test: positions to answer for.
    """
    if isinstance(task, RegressionTask):
        return {"prediction": _regressed(labels, x, fit, test), "value": labels[test].astype(np.float64)}
    if isinstance(task, MultilabelTask):
        known = labels if labels.ndim == 2 else np.eye(task.outputs)[labels.astype(np.int64)]
        columns = [_probability(known[:, k] > 0.5, 2, x, fit, test)[:, 1] for k in range(task.outputs)]
        return {"probability": np.stack(columns, axis=1), "label": known[test] > 0.5}
    classes = task.outputs + 1 if isinstance(task, OrdinalTask) else task.outputs
    probability = _probability(labels.astype(np.int64), classes, x, fit, test)
    label = labels[test].astype(np.int64)
    if isinstance(task, OrdinalTask):
        return {"exceeds": 1 - probability.cumsum(1)[:, :-1], "label": label}
    return {"probability": probability, "label": label}


def _probability(
    label: np.ndarray, classes: int, x: np.ndarray | None, fit: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """(len(test), classes); a class without training samples has 0; NaN where there is nothing to learn from."""
    from sklearn.linear_model import LogisticRegression

    counts = np.bincount(label[fit].astype(np.int64), minlength=classes)
    share = counts / counts.sum() if len(fit) else np.full(classes, np.nan)
    if x is None or len(np.unique(label[fit])) < 2:
        return np.tile(share, (len(test), 1))
    model = LogisticRegression(C=1 / RIDGE, max_iter=1000).fit(x[fit], label[fit].astype(np.int64))
    probability = np.zeros((len(test), classes))
    probability[:, model.classes_] = model.predict_proba(x[test])
    return probability


def _regressed(value: np.ndarray, x: np.ndarray | None, fit: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import Ridge

    if x is None or not len(fit):
        return np.full(len(test), value[fit].mean() if len(fit) else np.nan)
    return np.asarray(Ridge(alpha=RIDGE).fit(x[fit], value[fit]).predict(x[test]), dtype=np.float64)
