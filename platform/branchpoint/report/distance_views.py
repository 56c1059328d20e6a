"""Maps of the distance to an outline as pictures: true and predicted, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from branchpoint.deploy.prediction.pictures import AXES, SIDES, enlarged

View = tuple[np.ndarray, dict[str, Any]]
UNKNOWN = 0.6
"""Grey of voxels whose distance is unknown."""


def distance_views(truth: np.ndarray, predicted: np.ndarray) -> list[View]:
    """Planes through the largest cut of the true inside, of the truth and of the prediction.

    Args:
        truth: ([D,] H, W), from -1 (far outside) over 0 (on the outline) to 1 (deep inside); NaN where unknown.
        predicted: on the same grid.

    Returns:
        Pixels uint8 (H, W, 3) of each plane, and what is known of it.
    """
    maps = {"true": truth, "predicted": predicted}
    if truth.ndim == 2:
        return [(enlarged(coloured(values))[0], {"name": f"{name} distance"}) for name, values in maps.items()]
    found = []
    for name, values in maps.items():
        for axis, plane in enumerate(AXES):
            counts = (truth > 0).sum(axis=tuple(other for other in range(3) if other != axis))
            place = int(counts.argmax()) if counts.any() else truth.shape[axis] // 2
            cut = values.take(place, axis)
            pixels = coloured(cut[::-1] if axis else cut)  # head upwards
            found.append((enlarged(pixels)[0], {"name": f"{name} distance, {plane}", "sides": SIDES[axis]}))
    return found


def coloured(values: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): white on the outline, the redder the deeper inside, the bluer the farther outside."""
    depth = np.clip(np.nan_to_num(values), -1, 1)
    colours = np.stack([1 - np.maximum(-depth, 0), 1 - np.abs(depth), 1 - np.maximum(depth, 0)], axis=-1)
    colours[np.isnan(values)] = UNKNOWN
    return (colours * 255).round().astype(np.uint8)
