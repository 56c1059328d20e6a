"""The 274 features of a region in CT and PET (Andrearczyk et al. 2021, section 2.4).

14 of shape, and for each modality 18 first-order features and, for each of two discretisations, 24 of co-occurrence,
16 of run lengths and 16 of size zones. Grey levels of CT are 64 bins and bins of 50 HU, those of PET 8 bins and bins of
SUV 1. The entropy and uniformity among the first-order features are of the bins of fixed size, PyRadiomics' default.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from branchpoint.radiomics.cooccurrence import cooccurrence
from branchpoint.radiomics.discretisation import FixedBinNumber, FixedBinSize
from branchpoint.radiomics.first_order import first_order
from branchpoint.radiomics.region import Region
from branchpoint.radiomics.runs_and_zones import run_lengths, size_zones
from branchpoint.radiomics.shape import shape

DISCRETISATIONS: Mapping[str, tuple[FixedBinNumber, FixedBinSize]] = {
    "CT": (FixedBinNumber(64), FixedBinSize(50.0)),
    "PET": (FixedBinNumber(8), FixedBinSize(1.0)),
}
"""Modality to how its intensities (HU, SUV) become grey levels."""
FEWEST_VOXELS = 8
"""Smaller regions have no features: texture and principal axes of a few voxels say nothing."""
TEXTURES = {"glcm": cooccurrence, "glrlm": run_lengths, "glszm": size_zones}


def extract(images: Mapping[str, np.ndarray], mask: np.ndarray, spacing_mm: float) -> dict[str, float] | None:
    """Name to value, such as ``shape_Sphericity``, ``PET_firstorder_Maximum``, ``CT_fbs50_glcm_Contrast``.

    Args:
        images: CT (HU) and PET (SUV), or one of them, (D, H, W) each, on one isotropic grid.
        mask: bool (D, H, W).
        spacing_mm: of the grid.

    Returns:
        ``None`` where the region has fewer than :data:`FEWEST_VOXELS` voxels.

    Raises:
        ValueError: a modality has no discretisation, or an intensity in the region is not finite.

    Example:
        >>> grid = np.arange(64.0).reshape(4, 4, 4)
        >>> found = extract({"CT": grid, "PET": grid / 10}, grid > 20, spacing_mm=2.0)
        >>> len(found), found["CT_firstorder_Maximum"]
        (274, 63.0)
    """
    if np.count_nonzero(mask) < FEWEST_VOXELS:
        return None
    region = Region(mask, spacing_mm)
    found = {f"shape_{name}": value for name, value in shape(region).items()}
    for modality, image in images.items():
        if modality not in DISCRETISATIONS:
            raise ValueError(f"standard radiomics is defined for {' and '.join(DISCRETISATIONS)}, not for {modality}")
        values = region.values(image)
        if not np.isfinite(values).all():
            raise ValueError(
                f"{np.count_nonzero(~np.isfinite(values))} voxels of {modality} in the region are not finite"
            )
        found |= _of_modality(modality, region, values)
    return {name: float(value) for name, value in found.items()}


def _of_modality(modality: str, region: Region, values: np.ndarray) -> dict[str, float]:
    levels = {each.name: each.levels(values) for each in DISCRETISATIONS[modality]}
    of_fixed_size = levels[DISCRETISATIONS[modality][1].name]
    found = {
        f"{modality}_firstorder_{name}": value
        for name, value in first_order(values, of_fixed_size, region.spacing_mm**3).items()
    }
    for binning, each in levels.items():
        for kind, texture in TEXTURES.items():
            found |= {f"{modality}_{binning}_{kind}_{name}": v for name, v in texture(region, each).items()}
    return found
