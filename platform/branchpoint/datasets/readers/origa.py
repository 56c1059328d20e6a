"""ORIGA: fundus pictures cropped to the optic disc, with disc and cup, and whether the eye has glaucoma."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, Label, MaskLabel, MaskLayer, Patient, TargetKind
from branchpoint.datasets.file_report import FileReport, PictureReport
from branchpoint.datasets.files import list_files
from branchpoint.datasets.preparation.image_files import is_picture
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.shared import (
    collect,
    find_table,
    missing_parts,
    nothing_found,
    table_problems,
    without_row,
)
from branchpoint.datasets.readers.tables import Row, Table, number, parse_class, parse_value

MODALITY = "fundus"
LAYOUT = "images/NNN.png, masks/NNN.png and origa_info.csv"
TARGETS: dict[str, TargetKind] = {
    "disc_cup": "segmentation",
    "disc": "segmentation",
    "cup": "segmentation",
    "glaucoma": "classification",
    "cup_to_disc_ratio": "regression",
}
RIM, CUP = 1, 2
"""Stored values: the disc is both."""
RATIO_TOLERANCE = 0.02
"""Masks were drawn at another size: heights round by a pixel or two of some 300."""

_COLUMNS = ("cdr", "label")


def read(dataset: DatasetConfig) -> Cohort:
    """The pictures under ``dataset.root``.

    Targets: ``disc_cup`` (1 rim, 2 cup), ``disc`` (rim and cup) and ``cup`` (masks); ``glaucoma`` (0, 1);
    ``cup_to_disc_ratio``, vertical, as the table gives it (regression).
    """
    root = Path(dataset.root)
    listing = list_files(root.parent if root.name.lower() in ("images", "masks") else root)
    files, problems = collect(listing, _part)
    table = _padded(find_table(listing, ("image", "filename", "name"), _COLUMNS))
    if files or (table and table.rows):
        problems += table_problems(table, _COLUMNS, "origa_info.csv (Image, CDR, Label)")
    else:
        problems.append(nothing_found(root, LAYOUT))
    rows: Mapping[str, Row] = table.rows if table else {}
    patients = []
    for sample in sorted({*files, *rows}):
        held = files.get(sample, {})
        labels, found = _labels(sample, rows[sample]) if sample in rows else ({}, [])
        if "masks" in held:
            path = held["masks"]
            labels["disc_cup"] = MaskLabel(path, (RIM, CUP))
            labels["disc"] = MaskLabel.of(MaskLayer(path, ((RIM, 1), (CUP, 1))))
            labels["cup"] = MaskLabel.of(MaskLayer(path, ((CUP, 1),), (0, RIM)))
        patients.append(
            Patient(id=sample, images={MODALITY: held["images"]} if "images" in held else {}, labels=labels)
        )
        expected = {"images": f"images/{sample}.png", "masks": f"masks/{sample}.png"}
        problems += found + missing_parts(sample, held, expected) + without_row(sample, held, table)
    return Cohort(
        name="origa",
        release="",
        root=root,
        modalities=(MODALITY,),
        targets=TARGETS,
        patients=tuple(patients),
        problems=tuple(problems),
        dimensions=2,
        channels={MODALITY: 3},
        class_names={"disc_cup": ("rim", "cup"), "disc": ("disc",), "cup": ("cup",), "glaucoma": ("no", "yes")},
    )


def consistency(patient: Patient, reports: Mapping[Path, FileReport]) -> list[Problem]:
    """A row where the mask's vertical cup-to-disc ratio is not the table's: masks or rows have changed places."""
    ratio, mask = patient.labels.get("cup_to_disc_ratio"), patient.labels.get("disc_cup")
    report = reports.get(mask.path) if isinstance(mask, MaskLabel) else None
    if not isinstance(ratio, float) or not isinstance(report, PictureReport) or report.problems or not report.rows:
        return []
    cup, rim = (report.rows.get(value, (1, 0)) for value in (CUP, RIM))
    extents = [extent for extent in (cup, rim) if extent != (1, 0)]
    if not extents:
        return []
    disc = max(extent[1] for extent in extents) - min(extent[0] for extent in extents) + 1
    measured = (cup[1] - cup[0] + 1) / disc
    if abs(measured - ratio) <= RATIO_TOLERANCE:
        return []
    found = f"the table says {ratio:.3f}, the mask {measured:.3f}"
    return [problem("ratio-mismatch", patient.id, "disc_cup", found)]


def _part(path: Path) -> tuple[str, str] | None:
    folder = path.parent.name.lower()
    if folder not in ("images", "masks") or not is_picture(path) or not re.fullmatch(r"\d+", path.stem):
        return None
    return f"{int(path.stem):03d}", folder


def _padded(table: Table | None) -> Table | None:
    """The table by identifiers of three digits, whatever a spreadsheet made of them."""
    if table is None:
        return None
    rows = {
        f"{int(value):03d}" if (value := number(key)) is not None else Path(key).stem: row
        for key, row in table.rows.items()
    }
    return Table(table.path, table.columns, rows, table.problems)


def _labels(sample: str, row: Row) -> tuple[dict[str, Label], list[Problem]]:
    labels: dict[str, Label] = {}
    glaucoma, problems = parse_class(sample, "glaucoma", row.get("label", ""), {"0": 0, "1": 1})
    if glaucoma is not None:
        labels["glaucoma"] = glaucoma
    ratio, rows = parse_value(sample, "cup_to_disc_ratio", row.get("cdr", ""), (0.0, 1.0))
    if ratio is not None:
        labels["cup_to_disc_ratio"] = ratio
    return labels, problems + rows
