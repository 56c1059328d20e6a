"""Age, stage and grade as numbers: what a clinician knows before looking at the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from branchpoint.datasets.clinical_texts import ordinal

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
