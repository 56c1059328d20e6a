"""What is to be predicted: cases from the command line or from a table, checked before anything is computed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from branchpoint.datasets.cohort import Box
from branchpoint.datasets.preparation.image_files import is_picture, is_volume

STUDY_COLUMN, BOX_COLUMN, CENTER_COLUMN = "study", "box", "center"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One patient, scan or picture.

    Attributes:
        id: name of its folder in the output.
        images: modality to file.
        study: folder with DICOM series, in place of files.
        covariates: clinical values by name, as they were given; ``None`` where missing.
        box: where the window is centred, millimetres (x, y, z).
    """

    id: str
    images: Mapping[str, Path] = field(default_factory=dict)
    study: Path | None = None
    covariates: Mapping[str, str | None] = field(default_factory=dict)
    box: Box | None = None


def case_of(text: str, modalities: Sequence[str], name: str | None = None) -> list[Case]:
    """Cases of one ``--input``: ``CT=ct.nii.gz,PET=pet.nii.gz``, a file, a folder of pictures, or a DICOM study.

    Raises:
        ValueError: a modality is unknown or missing, or nothing is there.
    """
    if "=" in text and not Path(text).exists():
        images = dict(_pair(part, text, modalities) for part in text.split(","))
        if missing := [modality for modality in modalities if modality not in images]:
            raise ValueError(f"--input {text!r} has no {missing[0]}; the bundle needs {', '.join(modalities)}")
        return [Case(id=name or _stem(images[modalities[0]]), images=images)]
    path = Path(text)
    if path.is_dir():
        pictures = [file for file in sorted(path.iterdir()) if is_picture(file)]
        if pictures and len(modalities) == 1:
            return [Case(id=_stem(file), images={modalities[0]: file}) for file in pictures]
        return [Case(id=name or path.resolve().name, study=path)]
    if len(modalities) > 1:
        raise ValueError(
            f"--input {text!r}: the bundle needs {', '.join(modalities)}; give "
            f"{','.join(f'{modality}=FILE' for modality in modalities)} or the folder of a DICOM study"
        )
    if not path.is_file():
        raise ValueError(f"--input {text!r}: no such file or folder")
    if not (is_picture(path) or is_volume(path)):
        raise ValueError(f"--input {text!r}: neither a picture nor a volume that can be read")
    return [Case(id=name or _stem(path), images={modalities[0]: path})]


def _pair(part: str, text: str, modalities: Sequence[str]) -> tuple[str, Path]:
    modality, _, file = part.partition("=")
    if modality not in modalities or not file:
        raise ValueError(f"--input {text!r}: {part!r} is not MODALITY=FILE with one of {', '.join(modalities)}")
    return modality, Path(file)


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".nii.gz", path.suffix):
        if suffix and name.lower().endswith(suffix.lower()):
            return name[: -len(suffix)]
    return name


def read_table(path: Path, modalities: Sequence[str], covariates: Sequence[str]) -> list[Case]:
    """Cases of a CSV table: ``id``, a column for each modality (or ``study``), covariates, and ``box`` where known.

    Paths are relative to the table; empty cells are missing values; ``box`` is ``x1 y1 z1 x2 y2 z2`` in millimetres.

    Raises:
        ValueError: a column or cell is wrong; the message names rows and rules, all of them.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise ValueError(f"--table {path}: {problem}; give a CSV file (UTF-8)") from None
    if not rows:
        raise ValueError(f"--table {path}: no rows")
    _check_columns(path, list(rows[0]), modalities, covariates)
    problems: list[str] = []
    cases = []
    for number, row in enumerate(rows, start=2):
        try:
            cases.append(_case_of_row(row, path.parent, modalities, covariates))
        except ValueError as problem:
            problems.append(f"line {number}: {problem}")
    if problems:
        raise ValueError(f"--table {path}: " + "; ".join(problems))
    return cases


def check_ids(cases: Sequence[Case]) -> None:
    """Refuse identifiers that repeat or cannot name a folder."""
    seen: set[str] = set()
    for case in cases:
        bad = not case.id.strip() or case.id.startswith(".") or set("/\\\0\n") & set(case.id) or case.id == "failed"
        if bad:
            raise ValueError(f"case {case.id!r}: an identifier names a folder: no slash, no leading dot, not 'failed'")
        if case.id in seen:
            raise ValueError(f"case {case.id!r} is there twice; give each case an identifier of its own")
        seen.add(case.id)


def _check_columns(path: Path, found: Sequence[str], modalities: Sequence[str], covariates: Sequence[str]) -> None:
    known = {"id", STUDY_COLUMN, BOX_COLUMN, *modalities, *covariates}
    if "id" not in found:
        raise ValueError(f"--table {path}: no column 'id' among {', '.join(found)}")
    missing = [name for name in modalities if name not in found]
    if missing and STUDY_COLUMN not in found:
        raise ValueError(f"--table {path}: no column {missing[0]!r} (nor {STUDY_COLUMN!r}) among {', '.join(found)}")
    if unknown := [name for name in found if name not in known]:
        raise ValueError(f"--table {path}: unknown column {unknown[0]!r}; known are {', '.join(sorted(known))}")


def _case_of_row(
    row: Mapping[str, str | None], folder: Path, modalities: Sequence[str], covariates: Sequence[str]
) -> Case:
    def cell(name: str) -> str:
        return (row.get(name) or "").strip()

    study = folder / cell(STUDY_COLUMN) if cell(STUDY_COLUMN) else None
    images = {name: folder / cell(name) for name in modalities if cell(name)}
    if not cell("id"):
        raise ValueError("the identifier is empty")
    return Case(
        id=cell("id"),
        images=images,
        study=study,
        covariates={name: cell(name) or None for name in covariates},
        box=parse_box(cell(BOX_COLUMN)) if cell(BOX_COLUMN) else None,
    )


def parse_box(text: str) -> Box:
    """``x1 y1 z1 x2 y2 z2`` (or with commas) in millimetres, LPS.

    Raises:
        ValueError: not six numbers, or not in order.
    """
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 6 or any(a >= b for a, b in zip(numbers[:3], numbers[3:], strict=True)):
        raise ValueError(f"box {text!r}: give x1 y1 z1 x2 y2 z2 in millimetres with x1 < x2, y1 < y2, z1 < z2")
    return Box((numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5]))
