"""Families of comparisons: p-values corrected so that a whole family errs at most as often as one test says.

Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; NaN (no test) stays NaN and counts for nothing.

    With m tests and ordered p-values p(1) <= ... <= p(m), the adjusted value of the i-th is the largest of
    min(1, (m - j + 1) p(j)) over j <= i.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    adjusted = np.full(len(values), np.nan)
    remaining = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(remaining * values[order]))
    return [float(value) for value in adjusted]
