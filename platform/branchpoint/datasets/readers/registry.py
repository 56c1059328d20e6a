"""Dataset name to reader: adding a dataset is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.checks.inspection import FileReport
from branchpoint.datasets.cohort import Cohort, MaskLabel, Patient
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.readers import busi, cadis, endovis2017, hecktor, isic2017, origa, ph2, retouch, sts
from branchpoint.datasets.readers import folder as folder_table


def _no_masks(patient: Patient) -> Mapping[str, tuple[str, MaskLabel]]:
    return {}


def _own_grid(release: str) -> str | None:
    return None


def _consistent(patient: Patient, reports: Mapping[Path, FileReport]) -> list[Problem]:
    return []


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How a dataset is read, and what its files promise to the check.

    Attributes:
        read: the cohort under ``dataset.root``; problems of tables and folders are rows of the cohort.
        mask_grid: release to the modality whose grid the masks share; ``None`` where they may have their own.
        air_in_view: whether every CT shows air (false where volumes are cropped to the inside of the body).
        extra_masks: masks that are no target but are checked: name to (modality whose grid it shares, mask).
        consistency: of pictures: what a sample's labels say against its files, as rows.
    """

    read: Callable[[DatasetConfig], Cohort]
    mask_grid: Callable[[str], str | None] = _own_grid
    air_in_view: bool = False
    extra_masks: Callable[[Patient], Mapping[str, tuple[str, MaskLabel]]] = _no_masks
    consistency: Callable[[Patient, Mapping[Path, FileReport]], list[Problem]] = _consistent


READERS: dict[str, Reader] = {
    "hecktor": Reader(read=hecktor.read, mask_grid=hecktor.mask_grid, air_in_view=True),
    "sts": Reader(read=sts.read, mask_grid=lambda _: "CT", air_in_view=False, extra_masks=sts.extra_masks),
    "isic2017": Reader(read=isic2017.read),
    "retouch": Reader(read=retouch.read),
    "cadis": Reader(read=cadis.read),
    "endovis2017": Reader(read=endovis2017.read),
    "ph2": Reader(read=ph2.read),
    "busi": Reader(read=busi.read),
    "origa": Reader(read=origa.read, consistency=origa.consistency),
    "folder": Reader(read=folder_table.read),
}


def reader_of(dataset: DatasetConfig) -> Reader:
    """The reader that ``dataset.name`` asks for; ValueError where there is none."""
    if dataset.name not in READERS:
        raise ValueError(f"dataset.name is {dataset.name!r}: no reader has this name; known are {', '.join(READERS)}")
    return READERS[dataset.name]


def read_cohort(dataset: DatasetConfig) -> Cohort:
    """Patients, labels and clinical values of a release, from its tables and folders; no image is opened.

    What is wrong with tables and folders, a wrong root included, is in ``Cohort.problems``; it never raises for data.

    Raises:
        ValueError: unknown dataset or release, or no root.
    """
    reader = reader_of(dataset)
    if not dataset.root:
        raise ValueError(f"dataset.root is empty: give the folder of the {dataset.name} release (--root DIR)")
    return reader.read(dataset)
