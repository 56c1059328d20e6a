"""STS: 32 soft-tissue sarcomas in CT and PET, from TCIA's Soft-tissue-Sarcoma collection (IBSI validation release).

The label ``tumour`` is the contour on the CT grid, the finer one (0.98 mm in plane against 3.9 to 5.5 mm): resampling
it to any grid loses least. The contour on the PET grid is checked too, and is :func:`pet_mask`; the two agree with a
mean Dice of 0.945.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, Label, MaskLabel, Patient, SurvivalLabel, TargetKind
from branchpoint.datasets.files import describe_folder, list_files, listed
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.tables import (
    Row,
    Table,
    is_missing,
    parse_class,
    parse_event,
    parse_time,
    parse_value,
    read_table,
    survival_label,
)

MODALITIES = ("CT", "PET")
TARGETS: dict[str, TargetKind] = {
    "tumour": "segmentation",
    "recurrence": "survival",
    "overall_survival": "survival",
    "lung_metastasis": "classification",
    "grade": "classification",
}
GRADES = {"Low": 0, "Intermediate": 1, "High": 2}
LUNG_METASTASIS = {"0": 0, "1": 1}
DEATH = {"NED": False, "AWD": False, "D": True}
"""Status at last follow-up: no evidence of disease, alive with disease, dead."""

LAYOUT = "STS_0NN/{CT,PET}_{image,mask}.nii.gz and clinical_sts.csv"
PET_MASK = "tumour (PET)"
PARTS = {"CT_image": "CT", "PET_image": "PET", "CT_mask": "tumour", "PET_mask": PET_MASK}
"""File to what it is called in messages."""

_FILE = re.compile(r"(CT|PET)_(image|mask)\.nii(\.gz)?")
_TEXTS = {
    "histology": "histologicaltype",
    "mskcc_type": "mskcctype",
    "site": "siteofprimarysts",
    "treatment": "treatment",
}
_SEXES = {"male": "M", "female": "F", "m": "M", "f": "F"}
_FOLLOW_UP = "timediagnosistolastfollowup"
_OUTCOME_TIME = "timediagnosistooutcome"
_COLUMNS = ("outcome", _OUTCOME_TIME, "status", _FOLLOW_UP, "lungmets", "grade")


def read(dataset: DatasetConfig) -> Cohort:
    """The patients under ``dataset.root``, which is the release's folder or the one above it.

    Targets: ``tumour``; ``recurrence`` (of any kind, or metastasis), ``overall_survival`` in days from diagnosis;
    ``lung_metastasis`` (0, 1); ``grade`` (0 low, 1 intermediate, 2 high).
    """
    root = Path(dataset.root)
    listing = list_files(root)
    files, problems = _find_images(listing)
    table = _find_table(listing)
    problems += _table_problems(table) if table else []
    if set(files) == {root.name} or not (files or table):
        problems = [_wrong_root(root, bool(files))]
        files, table = {}, None
    elif table is None:
        problems.append(problem("missing-table", "", "", f"no table with outcomes under {root}", expected=LAYOUT))
    rows: Mapping[str, Row] = table.rows if table else {}
    patients = []
    for patient in sorted({*files, *rows}):
        one, found = _patient(patient, files.get(patient, {}), rows.get(patient))
        patients.append(one)
        problems += found + _missing_files(patient, files.get(patient, {}))
        if table and patient not in rows:
            problems.append(problem("images-without-row", patient, "", f"no row in {table.path.name}"))
    return Cohort(
        name="sts",
        release="",
        root=root,
        modalities=MODALITIES,
        targets=TARGETS,
        patients=tuple(patients),
        problems=tuple(problems),
        cut_margins_mm=45.0,  # the release was cropped 50 mm around the tumour
    )


def pet_mask(patient: Patient) -> MaskLabel | None:
    """The tumour's contour on the PET grid, beside the PET image."""
    image = patient.images.get("PET")
    path = image and image.with_name(image.name.replace("image", "mask"))
    return MaskLabel(path) if path and path.exists() else None


def extra_masks(patient: Patient) -> dict[str, tuple[str, MaskLabel]]:
    """The contour on the PET grid, which is checked though it is no target."""
    mask = pet_mask(patient)
    return {PET_MASK: ("PET", mask)} if mask else {}


def _find_images(listing: Sequence[Path]) -> tuple[dict[str, dict[str, Path]], list[Problem]]:
    files: dict[str, dict[str, Path]] = {}
    problems = []
    for path in listing:
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        patient, part = path.parent.name, f"{match[1]}_{match[2]}"
        held = files.setdefault(patient, {}).setdefault(part, path)
        if held != path:
            problems.append(problem("duplicate-patient", patient, part, f"{path}, beside {held}"))
    return files, problems


def _find_table(listing: Sequence[Path]) -> Table | None:
    for path in listing:
        if path.suffix.lower() == ".csv":
            table = read_table(path)
            if {"outcome", "lungmets"} & set(table.columns) or (table.problems and path.name == "clinical_sts.csv"):
                return table
    return None


def _table_problems(table: Table) -> list[Problem]:
    absent = [column for column in _COLUMNS if column not in table.columns]
    if not absent or table.problems:
        return list(table.problems)
    found = f"{table.path.name} lacks {listed(absent)}"
    return [problem("missing-column", "", "", found, expected="the columns of the published clinical_sts.csv")]


def _wrong_root(root: Path, one_patient: bool) -> Problem:
    found = "the folder of one patient" if one_patient else describe_folder(root)
    fix = f"point --root to {root.parent}" if one_patient else None
    return problem("no-patients", "", "", f"{root}: {found}", expected=LAYOUT, fix=fix)


def _missing_files(patient: str, files: Mapping[str, Path]) -> list[Problem]:
    if not files:
        expected = f"{patient}/{next(iter(PARTS))}.nii.gz and three more"
        return [problem("row-without-images", patient, "", "a table row, but no image", expected=expected)]
    found = f"only {listed(path.name for path in files.values())}"
    return [
        problem("missing-file", patient, task, found, expected=f"{patient}/{part}.nii.gz")
        for part, task in PARTS.items()
        if part not in files
    ]


def _patient(patient: str, files: Mapping[str, Path], row: Row | None) -> tuple[Patient, list[Problem]]:
    labels, problems = _labels(patient, row) if row is not None else ({}, [])
    if "CT_mask" in files:
        labels["tumour"] = MaskLabel(files["CT_mask"])
    covariates, rows = _covariates(patient, row) if row is not None else ({}, [])
    images = {modality: files[f"{modality}_image"] for modality in MODALITIES if f"{modality}_image" in files}
    return Patient(id=patient, images=images, labels=labels, covariates=covariates), problems + rows


def _labels(patient: str, row: Row) -> tuple[dict[str, Label], list[Problem]]:
    status = parse_event(patient, "overall_survival", row.get("status", ""), DEATH)
    follow_up = parse_time(patient, "overall_survival", row.get(_FOLLOW_UP, ""))
    survival, problems = survival_label(patient, "overall_survival", status, follow_up)
    recurrence, rows = _recurrence(patient, row)
    problems += rows
    lung, rows = parse_class(patient, "lung_metastasis", row.get("lungmets", ""), LUNG_METASTASIS)
    problems += rows
    grade, rows = parse_class(patient, "grade", row.get("grade", ""), GRADES)
    problems += rows
    found: dict[str, SurvivalLabel | int | None] = {
        "overall_survival": survival,
        "recurrence": recurrence,
        "lung_metastasis": lung,
        "grade": grade,
    }
    return {name: label for name, label in found.items() if label is not None}, problems


def _recurrence(patient: str, row: Row) -> tuple[SurvivalLabel | None, list[Problem]]:
    """Any recurrence or metastasis, at its time; ``--`` means none until the last follow-up."""
    outcome = row.get("outcome", "")
    event = False if outcome == "--" else None if is_missing(outcome) else True
    text = row.get(_OUTCOME_TIME if event else _FOLLOW_UP, "")
    days, rows = parse_time(patient, "recurrence", "" if text == "--" else text)
    if event:
        return survival_label(patient, "recurrence", (event, []), (days, rows))
    if days is None:
        return None, []  # overall survival reports this cell
    return survival_label(patient, "recurrence", (event, []), (days, []))


def _covariates(patient: str, row: Row) -> tuple[dict[str, float | str | None], list[Problem]]:
    age, problems = parse_value(patient, "age", row.get("age", ""), (0.0, 120.0))
    values: dict[str, float | str | None] = {"age": age, "sex": _SEXES.get(row.get("sex", "").lower())}
    texts = {name: row.get(column, "") for name, column in {**_TEXTS, "grade": "grade"}.items()}
    values.update({name: None if is_missing(text) else text for name, text in texts.items()})
    treatment = texts["treatment"].lower()
    for name, word in {"radiotherapy": "radio", "surgery": "surgery", "chemotherapy": "chemo"}.items():
        values[name] = None if is_missing(treatment) else float(word in treatment)
    return values, problems
