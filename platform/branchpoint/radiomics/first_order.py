"""The 18 first-order features of PyRadiomics 3.0.1: statistics of the intensities, whatever their arrangement."""

from __future__ import annotations

import numpy as np

SMALLEST = float(np.spacing(1.0))
"""Added to probabilities before the logarithm, as PyRadiomics does."""


def first_order(values: np.ndarray, levels: np.ndarray, voxel_mm3: float) -> dict[str, float]:
    """Feature to value.

    Kurtosis is not the excess: a normal distribution has 3, where IBSI has 0.

    Args:
        values: (N,), intensities.
        levels: int (N,), grey levels; for entropy and uniformity alone.
        voxel_mm3: volume of a voxel, for the total energy.
    """
    p10, p25, median, p75, p90 = np.percentile(values, [10, 25, 50, 75, 90])
    mean, low, high = values.mean(), values.min(), values.max()
    centred = values - mean
    variance = (centred**2).mean()
    robust = values[(values >= p10) & (values <= p90)]
    share = np.bincount(levels)[np.unique(levels)] / len(levels)
    energy = (values**2).sum()
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": -(share * np.log2(share + SMALLEST)).sum(),
        "InterquartileRange": p75 - p25,
        "Kurtosis": (centred**4).mean() / variance**2 if variance else 0.0,
        "Maximum": high,
        "MeanAbsoluteDeviation": np.abs(centred).mean(),
        "Mean": mean,
        "Median": median,
        "Minimum": low,
        "Range": high - low,
        "RobustMeanAbsoluteDeviation": np.abs(robust - robust.mean()).mean(),
        "RootMeanSquared": np.sqrt(energy / len(values)),
        "Skewness": (centred**3).mean() / variance**1.5 if variance else 0.0,
        "TotalEnergy": energy * voxel_mm3,
        "Uniformity": (share**2).sum(),
        "Variance": variance,
    }
