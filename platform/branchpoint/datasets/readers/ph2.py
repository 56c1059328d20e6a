"""PH2: dermoscopy of melanocytic lesions with mask, diagnosis and the criteria that dermatologists score.

Labels come from a CSV file (``ph2_labels.csv``) or from the release's own ``PH2_dataset.txt``. The pictures name no
patients, so each stands for itself in the folds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, Label, MaskLabel, Patient, TargetKind
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
from branchpoint.datasets.readers.tables import Row, Table, is_missing, normalized, parse_class

MODALITY = "dermoscopy"
LAYOUT = "PH2 Dataset images/IMDnnn/IMDnnn_Dermoscopic_Image/IMDnnn.bmp and IMDnnn_lesion/IMDnnn_lesion.bmp"
TABLE = "ph2_labels.csv or PH2_dataset.txt"
DIAGNOSES = ("common nevus", "atypical nevus", "melanoma")
COLOURS = ("white", "red", "light brown", "dark brown", "blue gray", "black")

CLASSES: dict[str, tuple[str, ...]] = {
    "diagnosis": DIAGNOSES,
    "melanoma": ("no", "yes"),
    "asymmetry": ("symmetric", "asymmetric in one axis", "asymmetric in both axes"),
    "pigment_network": ("typical", "atypical"),
    "dots_globules": ("absent", "typical", "atypical"),
    "streaks": ("absent", "present"),
    "regression_areas": ("absent", "present"),
    "blue_whitish_veil": ("absent", "present"),
}
"""Classes in the order of their numbers; those of asymmetry are ordered."""
_CODES: dict[str, tuple[str, Mapping[str, int]]] = {
    "asymmetry": ("asymmetry", {"0": 0, "1": 1, "2": 2}),
    "pigment_network": ("pigmentnetwork", {"T": 0, "AT": 1}),
    "dots_globules": ("dotsglobules", {"A": 0, "T": 1, "AT": 2}),
    "streaks": ("streaks", {"A": 0, "P": 1}),
    "regression_areas": ("regressionareas", {"A": 0, "P": 1}),
    "blue_whitish_veil": ("bluewhitishveil", {"A": 0, "P": 1}),
}
"""Target to column and what its texts mean."""
_DIAGNOSIS = {"0": 0, "1": 1, "2": 2}
_NAMES = {"common_nevus": 0, "atypical_nevus": 1, "melanoma": 2}
_COLOUR_COLUMNS = tuple(normalized(colour) for colour in COLOURS)
_COLUMNS = ("diagnosiscode", *(column for column, _ in _CODES.values()), *_COLOUR_COLUMNS)

_FILE = re.compile(r"(IMD\d+)(_lesion)?\.\w+", re.IGNORECASE)


def read(dataset: DatasetConfig) -> Cohort:
    """The pictures under ``dataset.root``: the release's folder, the one above it, or ``PH2 Dataset images`` itself.

    Targets: ``lesion`` (mask); ``diagnosis`` (0 common nevus, 1 atypical nevus, 2 melanoma) and ``melanoma`` (0, 1);
    the criteria of ``CLASSES``, among them ``asymmetry`` (ordinal 0, 1, 2); ``colours`` (multilabel, six).
    """
    root = Path(dataset.root)
    listing = list_files(root.parent if root.name.lower() == "ph2 dataset images" else root)
    files, problems = collect(listing, _part)
    problems += _misplaced(files)
    table = _find_table(listing)
    if files and set(files) == {root.name}:
        problems = [nothing_found(root, LAYOUT, f"the folder of one picture: point --root to {root.parent}")]
        files, table = {}, None
    elif files or table:
        problems += table_problems(table, _COLUMNS, TABLE)
    else:
        problems.append(nothing_found(root, LAYOUT))
    rows: Mapping[str, Row] = table.rows if table else {}
    patients = []
    for sample in sorted({*files, *rows}):
        held = files.get(sample, {})
        labels, found = _labels(sample, rows[sample]) if sample in rows else ({}, [])
        if "lesion" in held:
            labels["lesion"] = MaskLabel(held["lesion"], (255,))
        images = {MODALITY: held[MODALITY]} if MODALITY in held else {}
        patients.append(Patient(id=sample, images=images, labels=labels))
        expected = {
            MODALITY: f"{sample}/{sample}_Dermoscopic_Image/{sample}.bmp",
            "lesion": f"{sample}/{sample}_lesion/{sample}_lesion.bmp",
        }
        problems += found + missing_parts(sample, held, expected) + without_row(sample, held, table)
    targets: dict[str, TargetKind] = {
        "lesion": "segmentation",
        **dict.fromkeys(CLASSES, "classification"),
        "colours": "multilabel",
    }
    return Cohort(
        name="ph2",
        release="",
        root=root,
        modalities=(MODALITY,),
        targets=targets,
        patients=tuple(patients),
        problems=tuple(problems),
        dimensions=2,
        channels={MODALITY: 3},
        class_names={"lesion": ("lesion",), **CLASSES, "colours": COLOURS},
    )


def _part(path: Path) -> tuple[str, str] | None:
    match = _FILE.fullmatch(path.name)
    if match is None or not is_picture(path):
        return None
    return match[1].upper(), "lesion" if match[2] else MODALITY


def _misplaced(files: Mapping[str, Mapping[str, Path]]) -> list[Problem]:
    """Files in the folder of another picture."""
    return [
        problem("wrong-folder", sample, part, str(path), expected=f"a folder {sample}")
        for sample, parts in files.items()
        for part, path in parts.items()
        if (owner := re.match(r"IMD\d+", path.parent.name, re.IGNORECASE)) and owner[0].upper() != sample
    ]


def _find_table(listing: Sequence[Path]) -> Table | None:
    table = find_table(listing, ("imagename", "image", "name"), _COLUMNS)
    texts = [path for path in listing if path.name.lower() == "ph2_dataset.txt"]
    return _text_table(texts[0]) if table is None and texts else table


def _text_table(path: Path) -> Table:
    """``PH2_dataset.txt``: cells between ``||``; colours are the numbers 1 to 6 of ``COLOURS``."""
    header: list[str] = []
    rows: dict[str, Row] = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        cells = [cell.strip() for cell in line.split("||")[1:-1]]
        if not header and cells and normalized(cells[0]) == "name":
            header = ["diagnosiscode" if cell == "clinicaldiagnosis" else cell for cell in map(normalized, cells)]
        elif header and cells and re.fullmatch(r"IMD\d+", cells[0]):
            row = dict(zip(header, cells, strict=False))
            chosen = row.pop("colors", "").split()
            flags = {column: str(int(str(number) in chosen)) for number, column in enumerate(_COLOUR_COLUMNS, start=1)}
            rows[cells[0]] = {**row, **flags} if chosen else row
    return Table(path, (*header, *_COLOUR_COLUMNS), rows)


def _labels(sample: str, row: Row) -> tuple[dict[str, Label], list[Problem]]:
    labels: dict[str, Label] = {}
    diagnosis, problems = parse_class(sample, "diagnosis", row.get("diagnosiscode", ""), _DIAGNOSIS)
    if diagnosis is not None:
        labels |= {"diagnosis": diagnosis, "melanoma": int(diagnosis == 2)}
        name = row.get("diagnosis", "")
        if _NAMES.get(name, diagnosis) != diagnosis:
            found = f"{name}, but code {diagnosis}"
            problems.append(problem("bad-class", sample, "diagnosis", found, expected=DIAGNOSES[diagnosis]))
    for target, (column, codes) in _CODES.items():
        value, rows = parse_class(sample, target, row.get(column, ""), codes)
        problems += rows
        if value is not None:
            labels[target] = value
    flags = []
    for column in _COLOUR_COLUMNS:
        value, rows = parse_class(sample, "colours", row.get(column, ""), {"0": 0, "1": 1})
        problems += rows
        flags.append(value)
    known = [flag for flag in flags if flag is not None]
    if len(known) == len(COLOURS):
        labels["colours"] = tuple(known)
    empty = [target for target, (column, _) in _CODES.items() if is_missing(row.get(column, ""))]
    problems += [problem("missing-label", sample, target, "an empty cell") for target in empty]
    return labels, problems
