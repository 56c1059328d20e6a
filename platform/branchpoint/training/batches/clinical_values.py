"""Age, stage and grade as numbers: what a clinician knows before looking at the image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

Covariates = Sequence[Mapping[str, float | str | None]]
"""Clinical values by name, for each patient; ``None`` or absent where missing."""

AGE = ("age",)
STAGES = (("t_stage", "n_stage"), ("tnm_group",), ("stage",))
"""In order of preference: T and N say more than the group they are summed up in."""
GRADE = ("grade",)
NAMES = {
    "age": "age",
    "t_stage": "T stage",
    "n_stage": "N stage",
    "tnm_group": "TNM group",
    "stage": "stage",
    "grade": "grade",
}

_WORDS = {"low": 1.0, "intermediate": 2.0, "high": 3.0}
_ANSWERS = {"m": 1.0, "male": 1.0, "f": 0.0, "female": 0.0, "yes": 1.0, "no": 0.0, "positive": 1.0, "negative": 0.0}
_ROMAN = {"i": 1.0, "ii": 2.0, "iii": 3.0, "iv": 4.0}


def ordinal(value: float | str | None) -> float:
    """A stage, grade, sex or answer as a number, NaN where missing or not understood.

    ``T4a`` is 4, ``N2b`` 2, ``Tis`` 0, ``IVA`` and ``stage IV`` 4, ``G2`` 2, ``Intermediate`` 2; subdivisions are
    dropped: editions of TNM disagree on them. ``M`` (male), ``yes`` and ``positive`` are 1, their opposites 0.
    """
    if value is None or not isinstance(value, str):
        return float("nan") if value is None else float(value)
    text = value.strip().lower().removeprefix("stage").strip()
    if text in _WORDS or text in _ANSWERS:
        return {**_WORDS, **_ANSWERS}[text]
    if re.fullmatch(r"t?is", text):
        return 0.0
    if roman := re.fullmatch(r"(iv|i{1,3})[abc]?\d?", text):
        return _ROMAN[roman[1]]
    digit = re.fullmatch(r"[ctnmgp]*\s*(\d+(?:\.\d+)?)[a-d]?", text)
    return float(digit[1]) if digit else float("nan")


def columns(covariates: Covariates, without: str = "") -> tuple[str, ...]:
    """Age, the best recorded stage and grade: those of which the cohort holds at least two different values.

    Args:
        covariates: of each patient.
        without: a name to leave out, for a task whose target it is.
    """

    def varies(name: str) -> bool:
        values = matrix(covariates, (name,))
        return name != without and len(np.unique(values[~np.isnan(values)])) > 1

    stage = next((names for names in STAGES if any(map(varies, names))), ())
    return tuple(name for name in (*AGE, *stage, *GRADE) if varies(name))


def matrix(covariates: Covariates, names: Sequence[str]) -> np.ndarray:
    """float (N, len(names)); NaN where missing."""
    rows = [[ordinal(patient.get(name)) for name in names] for patient in covariates]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
