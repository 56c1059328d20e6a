"""What is chosen on the validation patients for the test patients: a temperature, and a threshold.

Both are attached to a test summary, sample by sample, so that pooling folds keeps each fold's own.
"""

from __future__ import annotations

import numpy as np

from branchpoint.tasks.base import Summary, Task
from branchpoint.tasks.classification import ClassificationTask

SPECIFICITY = 0.9
"""Share of negatives without an alarm that a threshold must reach on validation."""
TEMPERATURES = (0.05, 20.0)
FEWEST = 10
"""With fewer labelled validation samples, or one class only, no temperature is fitted: 1 stands."""
SMALLEST = 1e-12


def fit_temperature(probability: np.ndarray, label: np.ndarray) -> float:
    """The temperature T that gives softmax(logits / T) the best likelihood (Guo et al. 2017).

    Args:
        probability: (N, K), softmax outputs; logits follow from them but for a constant, which changes nothing.
        label: int (N,).

    Returns:
        Between 0.05 and 20; above 1 where the network is too sure. 1 where there is too little to fit.
    """
    from scipy.optimize import minimize_scalar

    if len(label) < FEWEST or len(np.unique(label)) < 2 or not np.isfinite(probability).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = scale(probability, float(np.exp(log_temperature)))
        return -float(np.log(scaled[np.arange(len(label)), label] + SMALLEST).mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x))


def scale(probability: np.ndarray, temperature: float) -> np.ndarray:
    """(N, K): softmax(log(probability) / temperature).

    >>> scale(np.array([[0.9, 0.1]]), 2.0).round(2)
    array([[0.75, 0.25]])
    """
    logits = np.log(np.clip(probability, SMALLEST, None)) / temperature
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def threshold_at(score: np.ndarray, positive: np.ndarray, specificity: float = SPECIFICITY) -> float:
    """The lowest threshold above which at most ``1 - specificity`` of the negatives score; NaN without negatives.

    Args:
        score: (N,).
        positive: bool (N,).
        specificity: between 0 and 1.
    """
    negatives = np.sort(score[~positive])
    if not len(negatives):
        return float("nan")
    return float(negatives[max(0, int(np.ceil(specificity * len(negatives) - 1e-9)) - 1)])


def with_validation(task: Task, test: Summary, validation: Summary) -> Summary:
    """``test`` with what was chosen on ``validation``, of the same network.

    For a classification: ``calibrated`` (N, K), probabilities at the fitted temperature, ``temperature`` (N,), and with
    two classes ``threshold`` (N,), on the probability of class 1. Other tasks: ``test`` as it is.
    """
    if not isinstance(task, ClassificationTask) or not len(test["labelled"]):
        return test
    known = validation["labelled"].astype(bool)
    probability, label = validation["probability"][known].astype(np.float64), validation["label"][known]
    temperature, count = fit_temperature(probability, label), len(test["labelled"])
    added = {
        "calibrated": scale(test["probability"].astype(np.float64), temperature),
        "temperature": np.full(count, temperature),
    }
    if probability.shape[1] == 2:
        added["threshold"] = np.full(count, threshold_at(probability[:, 1], label == 1))
    return {**test, **added}
