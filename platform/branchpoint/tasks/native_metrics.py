"""Metrics of segmentations that were scored on their files' own grids, for many resamples at once.

Shapes: R resamples of N samples, K classes; ``weights`` float (R, N) is how often a resample holds a sample, 0 where it
is unlabelled.
"""

from __future__ import annotations

import numpy as np

from branchpoint.tasks.base import Summary, mean_of_defined, ratio

WITH_LESION = ("dice", "ji", "miou", "hd95", "surface_dice")
"""Beginnings of the names of metrics that are means over the samples with a lesion."""
WITHOUT_LESION = ("false_positive_ml", "image_specificity")
"""Metrics over the samples without any."""
_LESIONS = ("lesions", "lesions_found", "lesions_predicted", "lesions_hit")


def native_metrics(weights: np.ndarray, summary: Summary) -> dict[str, np.ndarray]:
    """Each metric (R,), NaN where a resample has nothing to measure:

    - ``hd95`` (mm; pixels for pictures) and ``surface_dice``: means over samples of the mean over the classes that the
      sample's truth holds.
    - ``lesion_f1``: harmonic mean of the share of true lesions found and the share of predicted ones that are true,
      both counted over all samples, then the mean over classes.
    - ``size_ccc``: Lin's concordance correlation of predicted and true volumes (areas), the mean over classes.
    - ``volume_error_ml``: mean absolute difference of volumes, all classes together; volumes alone.
    - ``false_positive_ml`` and ``image_specificity``: of samples whose truth is empty, the mean predicted volume, and
      the share in which nothing is predicted.
    """
    predicted, truth = (summary[name].astype(np.float64) for name in ("predicted", "truth"))
    values = {name: _over_present(weights, summary[name], truth > 0) for name in ("hd95", "surface_dice")}
    lesions = {name: weights @ summary[name] for name in _LESIONS}
    found = ratio(lesions["lesions_found"], lesions["lesions"])
    true = ratio(lesions["lesions_hit"], lesions["lesions_predicted"])
    true = np.where((lesions["lesions_predicted"] == 0) & (lesions["lesions"] > 0), 0.0, true)
    f1 = np.where(found + true > 0, ratio(2 * found * true, found + true), np.where(np.isnan(found), np.nan, 0.0))
    values["lesion_f1"] = mean_of_defined(f1)
    values["size_ccc"] = mean_of_defined(_concordance(weights, predicted, truth))
    empty = weights * (truth.sum(1) == 0)
    nothing = (predicted.sum(1) == 0).astype(np.float64)
    values["image_specificity"] = ratio(empty @ nothing, empty.sum(1))
    if not np.isnan(summary["voxel_ml"]).all():
        voxel_ml = np.nan_to_num(summary["voxel_ml"])
        error = np.abs(predicted - truth).sum(1) * voxel_ml
        values["volume_error_ml"] = ratio(weights @ error, weights.sum(1))
        values["false_positive_ml"] = ratio(empty @ (predicted.sum(1) * voxel_ml), empty.sum(1))
    return values


def entered(summary: Summary, metric: str) -> int:
    """How many of the labelled samples ``metric`` rests on."""
    lesion = np.any(summary["truth"] > 0, axis=1)[summary["labelled"].astype(bool)]
    if metric in WITHOUT_LESION:
        return int((~lesion).sum())
    aggregated = "_aggregated" in metric
    return int(lesion.sum()) if metric.startswith(WITH_LESION) and not aggregated else len(lesion)


def _over_present(weights: np.ndarray, values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(R,): mean over samples of their mean over the classes that are present, (N, K)."""
    of_sample = np.where(present.any(1), ratio(np.where(present, values, 0.0).sum(1), present.sum(1)), 0.0)
    return ratio(weights @ of_sample, weights @ present.any(1))


def _concordance(weights: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(R, K): 2 cov / (var + var + (mean - mean)^2) (Lin 1989, Biometrics 45, eq. 4)."""
    total = weights.sum(1, keepdims=True)
    scale = max(float(first.max(initial=0.0)), float(second.max(initial=0.0)), 1.0)
    first, second = first / scale, second / scale
    mean, other = ratio(weights @ first, total), ratio(weights @ second, total)
    variance = ratio(weights @ first**2, total) - mean**2
    other_variance = ratio(weights @ second**2, total) - other**2
    covariance = ratio(weights @ (first * second), total) - mean * other
    spread = variance + other_variance + (mean - other) ** 2
    return np.where(spread > 1e-15, ratio(2 * covariance, spread), np.nan)
