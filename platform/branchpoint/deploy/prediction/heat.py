"""Pictures of maps that explain a prediction: colour over the grey image, strongest where the map is largest."""

from __future__ import annotations

from typing import Any

import numpy as np

from branchpoint.deploy.prediction.pictures import AXES, SIDES, enlarged, grey_plane, grey_scale, png_uri

MOST_OPAQUE = 0.75
_FOR, _AGAINST = np.array([230.0, 60.0, 20.0]), np.array([30.0, 100.0, 230.0])
_SATURATES_AT = 99.8
"""Percentile of the map's absolute values that gets the full colour: single voxels do not hide the rest."""


def heat_planes(
    image: np.ndarray, heat: np.ndarray, name: str, modality: str, low_high: tuple[float, float] | None
) -> list[dict[str, Any]]:
    """Planes through the place where ``heat`` is strongest; red is for, blue against what is explained.

    Args:
        image: (D, H, W), or (H, W[, 3]) of pictures.
        heat: float ([D,] H, W), of the same grid.
        name: for people.
        modality: decides the grey scale.
        low_high: grey scale of other modalities.
    """
    low, high = grey_scale(image, modality, low_high)
    top = float(np.percentile(np.abs(heat), _SATURATES_AT)) or float(np.abs(heat).max()) or 1.0
    shown = "red for, blue against" if (heat < 0).any() else "red where it is high"
    if heat.ndim == 2:
        grey = grey_plane(image, low, high, invert=False)
        return [{"name": name, "uri": png_uri(_coloured(grey, heat / top)), "shown": shown}]
    places = np.unravel_index(int(np.abs(heat).argmax()), heat.shape)
    found = []
    for axis, plane in enumerate(AXES):
        grey = grey_plane(image.take(places[axis], axis), low, high, invert=modality == "PET")
        cut = heat.take(places[axis], axis) / top
        if axis:  # head upwards
            grey, cut = grey[::-1], cut[::-1]
        uri = png_uri(_coloured(grey, cut))
        found.append({"name": f"{name}, {plane}", "uri": uri, "shown": shown, "sides": SIDES[axis]})
    return found


def _coloured(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): ``grey`` under ``heat``, which is 1 or -1 where it is strongest."""
    strength = MOST_OPAQUE * np.clip(np.abs(heat), 0, 1)[..., None]
    colour = np.where(heat[..., None] >= 0, _FOR, _AGAINST)
    pixels, _ = enlarged(((1 - strength) * grey + strength * colour).astype(np.uint8))
    return pixels
