"""Dataset name to reader: a new dataset is one module and one line here, or an entry of a plug-in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort
from branchpoint.datasets.files import unusual_entries
from branchpoint.datasets.problems.acceptance import acceptances
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.reader import Reader
from branchpoint.datasets.readers import busi, cadis, endovis2017, hecktor, isic2017, origa, ph2, retouch, sts
from branchpoint.datasets.readers import folder as folder_table
from branchpoint.datasets.readers.folder_declaration import read_toml
from branchpoint.values import look_up

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
"""Dataset name to reader; the entry points ``branchpoint.datasets`` of other packages add theirs."""


def reader_of(dataset: DatasetConfig) -> Reader:
    """The reader that ``dataset.name`` asks for.

    Raises:
        ValueError: there is none, or the package that brings it cannot be loaded.
    """
    return look_up(READERS, dataset.name, "dataset.name", "branchpoint.datasets", _reader)


def _reader(found: object) -> Reader:
    if not isinstance(found, Reader):
        raise TypeError(f"it is {found!r}, and must be a branchpoint.datasets.reader.Reader")
    return found


def read_cohort(dataset: DatasetConfig) -> Cohort:
    """Patients, labels and clinical values of a release, from its tables and folders; no image is opened.

    What is wrong with tables and folders, a wrong root included, is in ``Cohort.problems``; it never raises for data.

    Raises:
        ValueError: unknown dataset or release, or no root.
    """
    reader = reader_of(dataset)
    if not dataset.root:
        raise ValueError(f"dataset.root is empty: give the folder of the {dataset.name} release (--root DIR)")
    cohort = reader.read(dataset)
    rows = [
        problem("unusual-file", "", "", f"{path}: {reason}") for path, reason in unusual_entries(Path(dataset.root))
    ]
    accepted = dict(cohort.accepted)
    if dataset.name != "folder" and folder_table.declaration_file(dataset).exists():
        try:
            accepted |= acceptances(read_toml(folder_table.declaration_file(dataset)).get("accept", {}))
        except ValueError as failure:
            rows.append(problem("bad-declaration", "", "", str(failure), expected="rules and reasons in [accept]"))
    return dataclasses.replace(cohort, problems=(*cohort.problems, *rows), accepted=accepted)
