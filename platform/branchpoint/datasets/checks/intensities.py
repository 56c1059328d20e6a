"""Whether a CT is in Hounsfield units and a PET in SUV, told from their values alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from branchpoint.datasets.checks.headers import Fault

CT_MIN_SPAN = 100.0
"""Fat (-100 HU) to muscle (+50 HU) span more than this; volumes scaled to [0, 1], [-1, 1] or z-scores do not."""
CT_AIR = (-1150.0, -800.0)
"""Air: -1000 HU, with noise and the partial volume of its border."""
CT_MAX = 32_767.0
"""Above what 16-bit CT holds (metal reaches 3,071 HU, 30,710 on an extended scale): an unsigned overflow."""
CT_SOFT_TISSUE = (-200.0, 200.0)
CT_MIN_SOFT_TISSUE = 0.01
"""Share of voxels from fat to muscle: 10 % and more even in wide fields of view; without it water is not at 0."""
CT_MAX_PLATEAU = 0.01
"""Share of voxels that equal the lowest value where a window was clipped and air is gone."""
CT_LEAST = -3100.0
"""No scanner writes less: padding is at -1024, -2000, -3024 or -3071."""
CT_LIKELY_SHARE = 0.05
"""Share of air, and of soft tissue, above which an unnamed modality is taken for CT."""
PET_MIN_PEAK = 1.0
"""SUV averages 1 over the body by definition, so a maximum below it is a volume scaled to [0, 1]."""
PET_MAX_PEAK = 1000.0
"""Far above any uptake, bladder included; 1 SUV is some 3,000 to 7,000 Bq/ml."""
PET_HIGH_PEAK = 200.0
"""Above any tumour or brain; the bladder, or a fault of dose or weight."""
PET_TYPICAL = 1.6
"""Cohorts whose patients typically exceed this in most of the body are not in SUV: kBq/ml is 3 to 7 times as much."""
PET_OUTLIER = (2.0, 2.5)
"""A patient above this, and above so many times the cohort's median, is in another unit than the others: on STS the
highest is 1.54, 2.4 times the median."""
PET_NEGATIVE = -0.1
"""Reconstruction noise and resampling undershoot stay above this nearly everywhere."""
PET_MAX_NEGATIVE = 0.01
"""Share of voxels below ``PET_NEGATIVE``; a standardised volume has most of them there."""
PET_MAX_UNDERSHOOT = 0.25
"""Spline resampling undershoots by some 10 % of the peak."""


def ct_faults(voxels: np.ndarray, *, air_in_view: bool) -> list[Fault]:
    """At most one fault of the finite ``voxels`` (any shape) as CT."""
    low, high = float(voxels.min()), float(voxels.max())
    found = f"values from {low:g} to {high:g}"
    if high - low < CT_MIN_SPAN:
        why = "every voxel is the same" if low == high else "scaled or normalised"
        return [Fault("ct-not-hu", f"{found}: {why}")]
    if low >= 0:
        return [Fault("ct-not-hu", f"{found}: nothing is negative, as before RescaleIntercept")]
    if high > CT_MAX:
        return [Fault("ct-not-hu", f"{found}: a 16-bit overflow, air has become positive")]
    soft = _share(voxels, *CT_SOFT_TISSUE)
    if soft < CT_MIN_SOFT_TISSUE:
        return [Fault("ct-not-hu", f"{found}, with {soft:.1%} of the voxels between -200 and 200: shifted or scaled")]
    if _share(voxels, *CT_AIR) > 0:
        return []
    clipped = float(np.mean(voxels == low)) > CT_MAX_PLATEAU
    if clipped or air_in_view:
        why = f"clipped at {low:g}" if clipped else "shifted or scaled"
        return [Fault("ct-not-hu", f"{found}, none near -1000: {why}")]
    return [Fault("ct-no-air", f"{found}, none near -1000")]


def looks_like_ct(voxels: np.ndarray) -> bool:
    """Whether finite ``voxels`` (any shape) of an unnamed modality can hardly be anything but Hounsfield units."""
    low, high = float(voxels.min()), float(voxels.max())
    plausible = CT_LEAST <= low <= CT_AIR[1] and 0 < high <= CT_MAX
    return plausible and min(_share(voxels, *CT_AIR), _share(voxels, *CT_SOFT_TISSUE)) > CT_LIKELY_SHARE


def pet_faults(voxels: np.ndarray) -> list[Fault]:
    """At most one fault of the finite ``voxels`` (any shape) as PET in SUV."""
    low, high = float(voxels.min()), float(voxels.max())
    found = f"values from {low:g} to {high:g}"
    if low == high:
        return [Fault("pet-not-suv", f"every voxel is {low:g}")]
    negative = float(np.mean(voxels < PET_NEGATIVE))
    if negative > PET_MAX_NEGATIVE or low < min(PET_NEGATIVE, -PET_MAX_UNDERSHOOT * high):
        return [Fault("pet-not-suv", f"{found}, {negative:.1%} of them negative: standardised, or no PET")]
    if high <= PET_MIN_PEAK:
        return [Fault("pet-not-suv", f"{found}: scaled or normalised")]
    if high > PET_MAX_PEAK:
        return [Fault("pet-not-suv", f"{found}: activity (Bq/ml) or counts")]
    if high == 255 and np.array_equal(voxels, np.round(voxels)):
        return [Fault("pet-not-suv", f"{found}, whole numbers only: an 8-bit picture")]
    return [Fault("pet-high", found)] if high > PET_HIGH_PEAK else []


def _share(voxels: np.ndarray, low: float, high: float) -> float:
    return float(np.mean((voxels >= low) & (voxels <= high)))


def typical_uptake(voxels: np.ndarray) -> float:
    """Median of the voxels above 5 % of the 99th percentile: of the body without the air around it.

    In SUV it lies between 0.41 and 1.54 on the 32 patients of STS, with a median of 0.65.
    """
    finite = voxels[np.isfinite(voxels)]
    body = finite[finite > 0.05 * np.quantile(finite, 0.99)]
    return float(np.median(body)) if body.size else 0.0


INTENSITY_RULES: dict[str, Callable[..., list[Fault]]] = {
    "HU": ct_faults,
    "SUV": lambda voxels, air_in_view: pet_faults(voxels),
}
"""Unit to what values are judged by; other modalities have no unit."""
