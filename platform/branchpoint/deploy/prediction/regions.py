"""Detections: the connected regions of a mask as boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

MOST = 100
"""Regions that are listed; the largest ones."""


def regions(mask: np.ndarray, voxel_ml: float = 0.0) -> list[dict[str, Any]]:
    """Boxes around the connected regions of a mask, the largest region first.

    Voxels that touch at a corner are connected, as for the lesion-wise F1 of the test figures.

    Args:
        mask: bool ([D,] H, W).
        voxel_ml: volume of a voxel; 0 for pictures, which then have no volumes.

    Returns:
        ``low`` (first voxel) and ``high`` (first voxel behind the box) along ([D,] H, W), ``voxels`` and ``volume_ml``.

    Example:
        >>> regions(np.array([[1, 1, 0, 0], [0, 0, 0, 1]], bool))
        [{'low': [0, 0], 'high': [1, 2], 'voxels': 2}, {'low': [1, 3], 'high': [2, 4], 'voxels': 1}]
    """
    from scipy import ndimage

    parts, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    counts = np.bincount(parts.ravel())[1:]
    boxes = ndimage.find_objects(parts)
    found = []
    for place in np.argsort(-counts, kind="stable")[:MOST]:
        low, high = zip(*((edge.start, edge.stop) for edge in boxes[place]), strict=True)
        entry: dict[str, Any] = {"low": list(low), "high": list(high), "voxels": int(counts[place])}
        if voxel_ml:
            entry["volume_ml"] = float(counts[place] * voxel_ml)
        found.append(entry)
    return found
