"""The unit of a modality's values, told from its name."""

from __future__ import annotations

import re
from typing import Literal

_CT = {"ct", "cect", "ncct", "cta", "ldct", "cbct", "computedtomography", "computertomographie", "computertomography"}
_PET = {"pet", "pt", "suv", "positronemission"}
_ENDINGS = re.compile(r"(ct|pet|suv)(image|img|scan|res|resampled|vol|volume|series|bw|bsa|lbm|nac|ac|mr|g)")
"""Words that file lists write without a space: ``CTres``, ``SUVbw``, ``petimage``."""


def unit_of(modality: str) -> Literal["HU", "SUV", ""]:
    """``HU`` of CT, ``SUV`` of PET, ``""`` of everything else.

    A modality is CT or PET where a word of its name says so, in any case; ``PET_CT`` says both, and so neither.

    Example:
        >>> [unit_of(name) for name in ("CT", "ct_venous", "FDG-PET", "SUVbw", "T1c", "PET_CT")]
        ['HU', 'HU', 'SUV', 'SUV', '', '']
    """
    parts = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", modality).lower())
    words = {part.rstrip("0123456789") for part in parts}
    words |= {found[1] for word in words if (found := _ENDINGS.fullmatch(word))}
    is_ct, is_pet = bool(words & _CT), bool(words & _PET)
    if is_ct == is_pet:
        return ""
    return "HU" if is_ct else "SUV"
