"""Rates of right answers over samples and labels, for many resamples at once.

Shapes: R resamples of N samples, K labels; ``weights`` float (R, N) is how often a resample holds a sample, 0 where it
is unlabelled.
"""

from __future__ import annotations

import numpy as np

from branchpoint.tasks.base import mean_of_defined, ratio


def micro_rates(weights: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """``micro_accuracy``, ``micro_sensitivity``, ``micro_specificity``, each (R,): Bui et al. 2024, 4.

    True and false positives and negatives are summed over the labels before the rates are taken.

    Args:
        weights: (R, N).
        predicted: bool (N, K).
        truth: bool (N, K).
    """
    right = weights @ (predicted == truth).sum(1)
    positive, negative = weights @ truth.sum(1), weights @ (~truth).sum(1)
    return {
        "micro_accuracy": ratio(right, positive + negative),
        "micro_sensitivity": ratio(weights @ (predicted & truth).sum(1), positive),
        "micro_specificity": ratio(weights @ (~predicted & ~truth).sum(1), negative),
    }


def sensitivity_and_specificity(
    weights: np.ndarray, predicted: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each label, (R, K): NaN where a resample has no sample with (without) it."""
    sensitivity = ratio(weights @ (predicted & truth), weights @ truth)
    return sensitivity, ratio(weights @ (~predicted & ~truth), weights @ ~truth)


def areas(score: np.ndarray, positive: np.ndarray, weights: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of R weighted resamples, (R,): the share of pairs (positive, negative) of one fold in
    which the positive scores higher, ties counting one half.

    Args:
        score: (N,).
        positive: bool (N,).
        weights: (R, N).
        fold: (N,); pairs across folds do not count.
    """
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for value in np.unique(fold):
        rows = np.flatnonzero(fold == value)
        _, rank = np.unique(score[rows], return_inverse=True)
        at_rank = (rank[:, None] == np.arange(rank.max() + 1)).astype(np.float64)
        positives = (weights[:, rows] * positive[rows]) @ at_rank
        negatives = (weights[:, rows] * ~positive[rows]) @ at_rank
        won += (positives * (negatives.cumsum(1) - 0.5 * negatives)).sum(1)
        pairs += positives.sum(1) * negatives.sum(1)
    return ratio(won, pairs)


def mean_area(score: np.ndarray, positive: np.ndarray, weights: np.ndarray, fold: np.ndarray | None) -> np.ndarray:
    """Mean of :func:`areas` over the labels of ``score`` and ``positive`` (N, K) for which it is defined, (R,)."""
    fold = np.zeros(len(score)) if fold is None else fold
    return mean_of_defined(
        np.stack([areas(score[:, k], positive[:, k], weights, fold) for k in range(score.shape[1])], -1)
    )
