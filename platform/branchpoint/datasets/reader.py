"""How a dataset is read: what a new dataset has to provide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, MaskLabel, Patient
from branchpoint.datasets.file_report import FileReport
from branchpoint.datasets.problems.problem import Problem


def _own_grid(release: str) -> str | None:
    return None


def _no_masks(patient: Patient) -> Mapping[str, tuple[str, MaskLabel]]:
    return {}


def _consistent(patient: Patient, reports: Mapping[Path, FileReport]) -> list[Problem]:
    return []


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a dataset is read, and what its files promise to the check.

    Attributes:
        read: gives the cohort under ``dataset.root``; problems of tables and folders become rows of the cohort.
        mask_grid: release to the modality whose grid the masks share; ``None`` where they may have their own.
        air_in_view: whether every CT shows air (false where volumes are cropped to the inside of the body).
        extra_masks: masks that are no target but are checked: name to (modality whose grid it shares, mask).
        consistency: of pictures: rows for what a sample's labels say against its files.
    """

    read: Callable[[DatasetConfig], Cohort]
    mask_grid: Callable[[str], str | None] = _own_grid
    air_in_view: bool = False
    extra_masks: Callable[[Patient], Mapping[str, tuple[str, MaskLabel]]] = _no_masks
    consistency: Callable[[Patient, Mapping[Path, FileReport]], list[Problem]] = _consistent
