"""Grey levels: intensities of a region in bins, as PyRadiomics and IBSI number them (from 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FixedBinNumber:
    """``bins`` bins of equal width from the smallest to the largest intensity of the region (IBSI: FBN)."""

    bins: int

    @property
    def name(self) -> str:
        return f"fbn{self.bins}"

    def levels(self, values: np.ndarray) -> np.ndarray:
        """int (N,), 1 to ``bins``; the largest intensity belongs to the last bin.

        >>> FixedBinNumber(2).levels(np.array([0.0, 1.0, 2.0, 4.0]))
        array([1, 1, 2, 2])
        """
        edges = np.histogram_bin_edges(values, self.bins)
        edges[-1] += 1
        return np.digitize(values, edges)


@dataclass(frozen=True)
class FixedBinSize:
    """Bins of ``width`` (in the image's unit), whose edges are multiples of the width (PyRadiomics; IBSI: FBS)."""

    width: float

    @property
    def name(self) -> str:
        return f"fbs{self.width:g}"

    def levels(self, values: np.ndarray) -> np.ndarray:
        """int (N,), from 1, the bin of the smallest intensity.

        >>> FixedBinSize(50).levels(np.array([-10.0, 0.0, 49.9, 50.0]))
        array([1, 2, 2, 3])
        """
        below = np.floor(values / self.width).astype(np.int64)
        return below - below.min() + 1


Discretisation = FixedBinNumber | FixedBinSize
