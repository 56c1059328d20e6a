"""A tumour in CT and PET made of sines: the same numbers on every machine, and what PyRadiomics says about them."""

from __future__ import annotations

import numpy as np

SPACING_MM = 2.0


def wavy_tumour() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Images (HU, SUV) and mask, (12, 14, 13) voxels."""
    z, y, x = np.indices((12, 14, 13)).astype(float)
    ball = ((z - 5.5) / 5) ** 2 + ((y - 6.5) / 6) ** 2 + ((x - 6) / 5.2) ** 2
    mask = (ball < 1) & ~((x > 7) & (y > 7) & (z > 6)) & ~((x == 6) & (y == 6))
    ct = np.round(300 * np.sin(0.9 * x + 0.5 * y) * np.cos(0.7 * z - 0.3 * y) + 40)
    pet = np.round(64 * (5 + 3 * np.sin(0.6 * x - 0.4 * z) + 1.7 * np.cos(1.1 * y))) / 64
    return {"CT": ct, "PET": pet}, mask
