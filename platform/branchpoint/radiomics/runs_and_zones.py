"""The 16 features of the grey-level run-length matrix (GLRLM) and the 16 of the size-zone matrix (GLSZM).

PyRadiomics 3.0.1. A run is a maximal row of voxels of one grey level in one of the 13 directions (Galloway 1975); a
zone is a maximal set of voxels of one grey level that touch by faces, edges or corners (Thibault et al. 2009). Both
matrices count by grey level and by length (size), and have the same features. Those of runs are means over directions.
"""

from __future__ import annotations

import numpy as np

from branchpoint.radiomics.first_order import SMALLEST
from branchpoint.radiomics.region import Region, Runs

RUN_NAMES = (
    "ShortRunEmphasis",
    "LongRunEmphasis",
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "RunLengthNonUniformity",
    "RunLengthNonUniformityNormalized",
    "RunPercentage",
    "GrayLevelVariance",
    "RunVariance",
    "RunEntropy",
    "LowGrayLevelRunEmphasis",
    "HighGrayLevelRunEmphasis",
    "ShortRunLowGrayLevelEmphasis",
    "ShortRunHighGrayLevelEmphasis",
    "LongRunLowGrayLevelEmphasis",
    "LongRunHighGrayLevelEmphasis",
)
ZONE_NAMES = (
    "SmallAreaEmphasis",
    "LargeAreaEmphasis",
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "SizeZoneNonUniformity",
    "SizeZoneNonUniformityNormalized",
    "ZonePercentage",
    "GrayLevelVariance",
    "ZoneVariance",
    "ZoneEntropy",
    "LowGrayLevelZoneEmphasis",
    "HighGrayLevelZoneEmphasis",
    "SmallAreaLowGrayLevelEmphasis",
    "SmallAreaHighGrayLevelEmphasis",
    "LargeAreaLowGrayLevelEmphasis",
    "LargeAreaHighGrayLevelEmphasis",
)


def run_lengths(region: Region, levels: np.ndarray) -> dict[str, float]:
    """Run-length features.

    Args:
        levels: int (N,), grey levels from 1 of the region's voxels.
    """
    values = np.mean([_features(*_runs(runs, levels), region.size) for runs in region.runs], axis=0)
    return dict(zip(RUN_NAMES, values.tolist(), strict=True))


def size_zones(region: Region, levels: np.ndarray) -> dict[str, float]:
    """Size-zone features; arguments as of :func:`run_lengths`."""
    values = _features(*_zones(region, levels), region.size)
    return dict(zip(ZONE_NAMES, values.tolist(), strict=True))


def _runs(runs: Runs, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey level and length of every run in one direction."""
    ordered = levels[runs.order]
    starts = np.concatenate([[0], np.flatnonzero(runs.breaks | (np.diff(ordered) != 0)) + 1])
    return ordered[starts], np.diff(starts, append=len(ordered))


def _zones(region: Region, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey level and size of every zone."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = (np.concatenate(ends) for ends in zip(*region.pairs, strict=True))
    alike = levels[first] == levels[second]
    edges = (np.ones(np.count_nonzero(alike), bool), (first[alike], second[alike]))
    _, zone = connected_components(coo_array(edges, shape=(region.size, region.size)), directed=False)
    _, member, size = np.unique(zone, return_index=True, return_counts=True)
    return levels[member], size


def _features(level: np.ndarray, length: np.ndarray, voxels: int) -> np.ndarray:
    """(16,), in the order of :data:`RUN_NAMES`, of runs or zones with these grey levels and lengths."""
    count = len(level)
    i, j = level.astype(np.float64), length.astype(np.float64)
    per_level, per_length = np.unique(level, return_counts=True)[1], np.unique(length, return_counts=True)[1]
    cell = np.unique(level * (int(length.max()) + 1) + length, return_counts=True)[1] / count
    return np.array(
        [
            (1 / j**2).mean(),
            (j**2).mean(),
            (per_level**2).sum() / count,
            (per_level**2).sum() / count**2,
            (per_length**2).sum() / count,
            (per_length**2).sum() / count**2,
            count / voxels,
            i.var(),
            j.var(),
            -(cell * np.log2(cell + SMALLEST)).sum(),
            (1 / i**2).mean(),
            (i**2).mean(),
            (1 / (i**2 * j**2)).mean(),
            (i**2 / j**2).mean(),
            (j**2 / i**2).mean(),
            (i**2 * j**2).mean(),
        ]
    )
