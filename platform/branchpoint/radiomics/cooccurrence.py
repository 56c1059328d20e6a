"""The 24 features of the grey-level co-occurrence matrix (GLCM) in PyRadiomics 3.0.1.

Symmetric matrices of the 13 directions at distance 1; a feature is the mean of its values over the directions in
which the region has neighbours at all (Haralick 1973).
"""

from __future__ import annotations

import numpy as np

from branchpoint.radiomics.first_order import SMALLEST
from branchpoint.radiomics.region import Region


def matrices(region: Region, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float (A, G, G), one for each direction with neighbours, each summing to 1; and the G grey levels that occur.

    Args:
        levels: int (N,), of the region's voxels.
    """
    present, rank = np.unique(levels, return_inverse=True)
    count = len(present)
    found = []
    for first, second in region.pairs:
        if len(first):
            pairs = np.bincount(rank[first] * count + rank[second], minlength=count**2).reshape(count, count)
            found.append((pairs + pairs.T) / (2 * len(first)))
    return np.array(found).reshape(-1, count, count), present


def cooccurrence(region: Region, levels: np.ndarray) -> dict[str, float]:
    """Feature to value; NaN where no two voxels of the region touch.

    Args:
        levels: int (N,), grey levels from 1 of the region's voxels.
    """
    p, present = matrices(region, levels)
    if not len(p):
        return dict.fromkeys(NAMES, float("nan"))
    features = {**_moments(p, present), **_of_sums_and_differences(p, present), **_information(p)}
    return {name: float(np.mean(features[name])) for name in NAMES}


def _moments(p: np.ndarray, present: np.ndarray) -> dict[str, np.ndarray]:
    """Features that weight the matrix by functions of the grey levels; (A,) each."""
    i, j = present[:, None].astype(np.float64), present[None, :].astype(np.float64)
    mean = np.einsum("aij,ij->a", p, i + 0 * j)
    variance = np.einsum("aij,aij->a", p, (i - mean[:, None, None]) ** 2 + 0 * j)
    covariance = np.einsum("aij,aij->a", p, (i - mean[:, None, None]) * (j - mean[:, None, None]))
    from_centre = i + j - 2 * mean[:, None, None]
    correlation = np.where(variance > 0, covariance / (variance + SMALLEST), 1.0)
    return {
        "Autocorrelation": np.einsum("aij,ij->a", p, i * j),
        "JointAverage": mean,
        "ClusterProminence": (p * from_centre**4).sum((1, 2)),
        "ClusterShade": (p * from_centre**3).sum((1, 2)),
        "ClusterTendency": (p * from_centre**2).sum((1, 2)),
        "Contrast": np.einsum("aij,ij->a", p, (i - j) ** 2),
        "Correlation": correlation,
        "SumSquares": variance,
        "JointEnergy": (p**2).sum((1, 2)),
        "MaximumProbability": p.max((1, 2)),
    }


def _of_sums_and_differences(p: np.ndarray, present: np.ndarray) -> dict[str, np.ndarray]:
    """Features of the distributions of i + j and |i - j|; (A,) each."""
    highest = int(present[-1])
    plus = _distribution(p, present[:, None] + present[None, :], 2 * highest + 1)
    minus = _distribution(p, np.abs(present[:, None] - present[None, :]), highest)
    total, k = np.arange(2 * highest + 1.0), np.arange(float(highest))
    average = minus @ k
    return {
        "DifferenceAverage": average,
        "DifferenceEntropy": _entropy(minus),
        "DifferenceVariance": (minus * (k - average[:, None]) ** 2).sum(1),
        "Id": minus @ (1 / (1 + k)),
        "Idn": minus @ (1 / (1 + k / highest)),
        "Idm": minus @ (1 / (1 + k**2)),
        "Idmn": minus @ (1 / (1 + k**2 / highest**2)),
        "InverseVariance": minus[:, 1:] @ (1 / k[1:] ** 2),
        "SumAverage": plus @ total,
        "SumEntropy": _entropy(plus),
    }


def _information(p: np.ndarray) -> dict[str, np.ndarray]:
    """Joint entropy, information measures of correlation, maximal correlation coefficient; (A,) each."""
    margin = p.sum(2)
    independent = margin[:, :, None] * margin[:, None, :]
    joint, single = _entropy(p), _entropy(margin)
    crossed = -(p * np.log2(independent + SMALLEST)).sum((1, 2))
    expected = -(independent * np.log2(independent + SMALLEST)).sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.where(single > 0, (joint - crossed) / single, 0.0)
    return {
        "JointEntropy": joint,
        "Imc1": first,
        "Imc2": np.sqrt(1 - np.exp(-2 * np.maximum(expected - joint, 0.0))),
        "MCC": _maximal_correlation(p, margin),
    }


def _maximal_correlation(p: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Square root of the second largest eigenvalue of Q(i, j) = sum_k p(i, k) p(j, k) / (p(i) p(k)).

    Q is similar to S S' with S(i, k) = p(i, k) / sqrt(p(i) p(k)), so these are the singular values of the symmetric S.
    """
    if p.shape[1] < 2:
        return np.ones(len(p))
    root = np.sqrt(margin[:, :, None] * margin[:, None, :])
    scaled = np.where(root > 0, p / np.where(root > 0, root, 1.0), 0.0)
    return np.sort(np.abs(np.linalg.eigvalsh(scaled)), axis=1)[:, -2]


def _distribution(p: np.ndarray, key: np.ndarray, size: int) -> np.ndarray:
    """(A, size): sums of ``p`` over the entries with the same ``key`` (G, G)."""
    return np.array([np.bincount(key.ravel(), weights=each.ravel(), minlength=size) for each in p])


def _entropy(p: np.ndarray) -> np.ndarray:
    """In bits, over all axes but the first."""
    return -(p * np.log2(p + SMALLEST)).reshape(len(p), -1).sum(1)


NAMES = (
    "Autocorrelation",
    "JointAverage",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "JointEnergy",
    "JointEntropy",
    "Imc1",
    "Imc2",
    "Idm",
    "MCC",
    "Idmn",
    "Id",
    "Idn",
    "InverseVariance",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
)
