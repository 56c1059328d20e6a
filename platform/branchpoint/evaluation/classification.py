"""Probabilities of classes: how close they are to the truth, and what they say at a chosen threshold.

Shapes: N samples, K classes, R resamples; ``weights`` (R, N) is how often each resample holds each sample. Without
it, every sample counts once and R is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from branchpoint.tasks.base import ratio

BINS = 10


def brier(probability: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(R,): mean squared distance of probabilities from the truth (Brier 1950).

    With K = 2 that of class 1 alone, else the sum over classes, as in scikit-learn.

    Args:
        probability: (N, K).
        truth: bool (N, K), one class per sample.
        weights: (R, N).

    Example:
        >>> brier(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([[True, False], [False, True]]))
        array([0.1])
    """
    squares = ((probability - truth) ** 2).sum(1) / (2 if probability.shape[1] == 2 else 1)
    weights = _weights(weights, len(squares))
    return ratio(weights @ squares, weights.sum(1))


def confidence(probability: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is to be calibrated, (N,), and whether it came true: class 1 where K = 2, else the likeliest class.

    The latter as in Guo et al. 2017, "On calibration of modern neural networks".
    """
    if probability.shape[1] == 2:
        return probability[:, 1], truth[:, 1]
    return probability.max(1), truth[np.arange(len(truth)), probability.argmax(1)]


def expected_calibration_error(
    probability: np.ndarray, happened: np.ndarray, weights: np.ndarray | None = None, bins: int = BINS
) -> np.ndarray:
    """(R,): mean over samples of |mean probability - share that happened| of their bin (Naeini et al. 2015).

    Args:
        probability: (N,).
        happened: bool (N,).
        weights: (R, N).
        bins: of equal width; a probability on an edge belongs to the lower bin.
    """
    count, predicted, observed = _binned(probability, happened, weights, bins)
    return ratio(np.abs(predicted - observed).sum(1), count.sum(1))


@dataclass(frozen=True)
class ReliabilityTable:
    """Predicted against observed in B bins of equal width; NaN where a bin is empty.

    Attributes:
        count: int (B,), samples.
        predicted: (B,), mean probability.
        observed: (B,), share that happened.
    """

    count: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray


def reliability_table(probability: np.ndarray, happened: np.ndarray, bins: int = BINS) -> ReliabilityTable:
    """The points of a reliability plot; arguments as of :func:`expected_calibration_error`."""
    count, predicted, observed = (values[0] for values in _binned(probability, happened, None, bins))
    return ReliabilityTable(count.astype(np.int64), ratio(predicted, count), ratio(observed, count))


def average_precision(
    score: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None, fold: np.ndarray | None = None
) -> np.ndarray:
    """(R,): area under the precision-recall curve, as the mean over positives of the precision at their score.

    Precision is that within the positive's fold: scores of different models are not ranked against each other.

    Args:
        score: (N,).
        positive: bool (N,).
        weights: (R, N).
        fold: (N,); ``None``: one model for all.
    """
    weights = _weights(weights, len(score))
    fold = np.zeros(len(score)) if fold is None else fold
    summed, total = np.zeros(len(weights)), np.zeros(len(weights))
    for value in np.unique(fold):
        rows = np.flatnonzero(fold == value)
        _, rank = np.unique(-score[rows], return_inverse=True)
        at_rank = (rank[:, None] == np.arange(rank.max() + 1)).astype(np.float64)
        positives, everyone = (weights[:, rows] * positive[rows]) @ at_rank, weights[:, rows] @ at_rank
        precision = np.nan_to_num(ratio(positives.cumsum(1), everyone.cumsum(1)))
        summed += (positives * precision).sum(1)
        total += positives.sum(1)
    return ratio(summed, total)


def rates_above(
    score: np.ndarray, positive: np.ndarray, threshold: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) each: sensitivity and specificity where a score above each sample's ``threshold`` (N,) is an alarm."""
    weights = _weights(weights, len(score))
    alarm = score > threshold
    return (
        ratio(weights @ (alarm & positive), weights @ positive),
        ratio(weights @ (~alarm & ~positive), weights @ ~positive),
    )


def _binned(
    probability: np.ndarray, happened: np.ndarray, weights: np.ndarray | None, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(R, B): samples, sum of probabilities, sum of what happened."""
    weights = _weights(weights, len(probability))
    place = np.clip(np.ceil(probability * bins).astype(int) - 1, 0, bins - 1)
    member = (place[:, None] == np.arange(bins)).astype(np.float64)
    return weights @ member, weights @ (member * probability[:, None]), weights @ (member * happened[:, None])


def _weights(weights: np.ndarray | None, count: int) -> np.ndarray:
    return np.ones((1, count)) if weights is None else weights
