"""ISIC 2017: dermoscopy with lesion masks and diagnoses, in the challenge's own parts (2,000, 150 and 600 pictures).

Paper 001 uses the challenge's parts. The release names no patients, so folds treat each picture by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, Label, MaskLabel, Part, Patient, TargetKind
from branchpoint.datasets.files import list_files
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.shared import collect, missing_parts, nothing_found, table_problems, without_row
from branchpoint.datasets.readers.tables import Row, Table, is_missing, parse_class, parse_value, read_table

MODALITY = "dermoscopy"
DIAGNOSES = ("nevus", "melanoma", "seborrheic keratosis")
TARGETS: dict[str, TargetKind] = {
    "lesion": "segmentation",
    "diagnosis": "classification",
    "melanoma": "classification",
    "seborrheic_keratosis": "classification",
}
LAYOUT = (
    "ISIC-2017_Training_Data/ISIC_nnnnnnn.jpg, ISIC-2017_Training_Part1_GroundTruth/ISIC_nnnnnnn_segmentation.png and "
    "ISIC-2017_Training_Part3_GroundTruth.csv, the same for Validation and Test_v2"
)
PARTS: dict[str, Part] = {"training": "train", "validation": "validation", "test": "test"}

_FILE = re.compile(r"(ISIC_\d{7})(?:\.jpe?g|(_segmentation)\.png)", re.IGNORECASE)
"""Superpixels (``ISIC_nnnnnnn_superpixels.png``) may lie beside the pictures; they are no part of a sample."""
_PART = re.compile(r"ISIC-2017_(Training|Validation|Test)", re.IGNORECASE)
_COLUMNS = ("melanoma", "seborrheickeratosis")


def read(dataset: DatasetConfig) -> Cohort:
    """The pictures under ``dataset.root``, the folder of the unpacked archives or one of them.

    Targets: ``lesion`` (mask); ``diagnosis`` (0 nevus, 1 melanoma, 2 seborrheic keratosis) and the challenge's two
    questions, ``melanoma`` and ``seborrheic_keratosis`` (0, 1). Covariates: ``age`` and ``sex``.
    """
    root = Path(dataset.root)
    listing = list_files(root.parent if _PART.match(root.name) else root)
    files, problems = collect(listing, _file_part)
    tables = [table for path in listing if path.suffix.lower() == ".csv" for table in [read_table(path, ("imageid",))]]
    truth = _joined([table for table in tables if set(_COLUMNS) & set(table.columns)])
    clinical = _joined([table for table in tables if "ageapproximate" in table.columns])
    problems += [row for table in tables if "imageid" not in table.columns for row in table.problems]
    if files or truth:
        problems += clinical.problems if clinical else ()
        problems += table_problems(truth, _COLUMNS, "ISIC-2017_..._Part3_GroundTruth.csv (image_id, melanoma, ...)")
    else:
        problems = [nothing_found(root, LAYOUT)]
    unmasked = {
        part for part in PARTS if not any("lesion" in held and _part_of(held) == part for held in files.values())
    }
    problems += [
        problem(
            "missing-label", "", "lesion", f"no masks of the {part} part", expected="ISIC-2017_..._Part1_GroundTruth"
        )
        for part in PARTS
        if part in unmasked and any(_part_of(held) == part for held in files.values())
    ]
    patients = []
    splits: dict[str, Part] = {}
    for sample in sorted({*files, *(truth.rows if truth else ())}):
        held = files.get(sample, {})
        patient, found = _patient(sample, held, truth, clinical)
        patients.append(patient)
        part = _part_of(held)
        problems += (
            found
            + without_row(sample, held, truth)
            + [row for row in _missing(sample, held, part) if not (row.task == "lesion" and part in unmasked)]
        )
        if part in PARTS:
            splits[sample] = PARTS[part]
    return Cohort(
        name="isic2017",
        release="",
        root=root,
        modalities=(MODALITY,),
        targets=TARGETS,
        patients=tuple(patients),
        problems=tuple(problems),
        dimensions=2,
        channels={MODALITY: 3},
        splits={"official": splits, "paper": splits},
        class_names={
            "lesion": ("lesion",),
            "diagnosis": DIAGNOSES,
            "melanoma": ("no", "yes"),
            "seborrheic_keratosis": ("no", "yes"),
        },
    )


def _part_of(files: Mapping[str, Path]) -> str:
    """The part of the challenge that a sample's folders name, innermost first: ``training``, or ``""``."""
    folders = (folder.name for path in files.values() for folder in path.parents)
    return next((match[1].lower() for name in folders if (match := _PART.match(name))), "")


def _file_part(path: Path) -> tuple[str, str] | None:
    match = _FILE.fullmatch(path.name)
    return (match[1].upper(), "lesion" if match[2] else MODALITY) if match else None


def _joined(tables: Sequence[Table]) -> Table | None:
    """The tables of all parts as one; of two rows for one picture the first counts."""
    if not tables:
        return None
    rows: dict[str, Row] = {}
    problems = [row for table in tables for row in table.problems]
    for table in tables:
        for sample, row in table.rows.items():
            if rows.setdefault(sample, row) is not row:
                problems.append(problem("duplicate-row", sample, "", f"{table.path.name} has another row for it"))
    columns = tuple(dict.fromkeys(column for table in tables for column in table.columns))
    return Table(tables[0].path, columns, rows, tuple(problems))


def _missing(sample: str, files: Mapping[str, Path], part: str) -> list[Problem]:
    folder = {"": "ISIC-2017_Training", "test": "ISIC-2017_Test_v2"}.get(part, f"ISIC-2017_{part.capitalize()}")
    return missing_parts(
        sample,
        files,
        {
            MODALITY: f"{folder}_Data/{sample}.jpg",
            "lesion": f"{folder}_Part1_GroundTruth/{sample}_segmentation.png",
        },
    )


def _patient(
    sample: str, files: Mapping[str, Path], truth: Table | None, clinical: Table | None
) -> tuple[Patient, list[Problem]]:
    labels, problems = _labels(sample, truth.rows[sample]) if truth and sample in truth.rows else ({}, [])
    if "lesion" in files:
        labels["lesion"] = MaskLabel(files["lesion"], (255,))
    row = clinical.rows.get(sample, {}) if clinical else {}
    age = row.get("ageapproximate", "")
    years, rows = parse_value(sample, "age", "" if age.lower() == "unknown" else age, (0.0, 120.0))
    sex = {"male": "M", "female": "F"}.get(row.get("sex", "").lower())
    images = {MODALITY: files[MODALITY]} if MODALITY in files else {}
    return Patient(id=sample, images=images, labels=labels, covariates={"age": years, "sex": sex}), problems + rows


def _labels(sample: str, row: Row) -> tuple[dict[str, Label], list[Problem]]:
    melanoma, problems = parse_class(sample, "melanoma", row.get("melanoma", ""), {"0": 0, "1": 1})
    keratosis, rows = parse_class(sample, "seborrheic_keratosis", row.get("seborrheickeratosis", ""), {"0": 0, "1": 1})
    problems += rows
    both = {"melanoma": melanoma, "seborrheic_keratosis": keratosis}
    problems += [
        problem("missing-label", sample, target, "an empty cell")
        for target, column in zip(both, _COLUMNS, strict=True)
        if is_missing(row.get(column, ""))
    ]
    labels: dict[str, Label] = {target: value for target, value in both.items() if value is not None}
    if melanoma and keratosis:
        problems.append(
            problem(
                "bad-class",
                sample,
                "diagnosis",
                "melanoma and seborrheic keratosis are both 1",
                expected="one diagnosis",
            )
        )
    elif melanoma is not None and keratosis is not None:
        labels["diagnosis"] = 1 if melanoma else 2 if keratosis else 0
    return labels, problems
