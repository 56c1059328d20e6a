"""BUSI: breast ultrasound, normal or with benign or malignant lesions, and their masks.

The files name no patients: pictures of one woman may fall into training and test, and nobody can tell.
"""

from __future__ import annotations

import re
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, Label, MaskLabel, MaskLayer, Patient, TargetKind
from branchpoint.datasets.files import list_files
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.shared import collect, missing_parts, nothing_found

MODALITY = "ultrasound"
DIAGNOSES = ("normal", "benign", "malignant")
LAYOUT = "{benign,malignant,normal}/NAME (n).png and NAME (n)_mask.png"
TARGETS: dict[str, TargetKind] = {
    "lesion": "segmentation",
    "diagnosis": "classification",
    "malignant": "classification",
}

_FILE = re.compile(r"((normal|benign|malignant) \(\d+\))(_mask(?:_\d+)?)?\.png", re.IGNORECASE)
_LESION = ((255, 1),)


def read(dataset: DatasetConfig) -> Cohort:
    """The pictures under ``dataset.root``: the folder of the three classes, or one above it.

    Targets: ``lesion``, the union of a picture's masks, which must be empty where the folder says normal;
    ``diagnosis`` (0 normal, 1 benign, 2 malignant); ``malignant`` (0, 1).
    """
    root = Path(dataset.root)
    files, problems = collect(list_files(root), _part)
    if not files or root.name.lower() in DIAGNOSES:
        fix = f"the folder of one class: point --root to {root.parent}" if files else None
        problems, files = [nothing_found(root, LAYOUT, fix)], {}
    patients = []
    for sample in sorted(files):
        patients.append(_patient(sample, files[sample]))
        problems += _misplaced(sample, files[sample])
        where = f"{sample.split()[0]}/{sample}"
        expected = {MODALITY: f"{where}.png", "_mask": f"{where}_mask.png"}
        problems += missing_parts(sample, files[sample], expected)
    return Cohort(
        name="busi",
        release="",
        root=root,
        modalities=(MODALITY,),
        targets=TARGETS,
        patients=tuple(patients),
        problems=tuple(problems),
        dimensions=2,
        class_names={"lesion": ("lesion",), "diagnosis": DIAGNOSES, "malignant": ("no", "yes")},
    )


def _part(path: Path) -> tuple[str, str] | None:
    match = _FILE.fullmatch(path.name)
    return (match[1].lower(), (match[3] or MODALITY).lower()) if match else None


def _patient(sample: str, files: dict[str, Path]) -> Patient:
    folders = {path.parent.name.lower() for path in files.values()}
    diagnosis = (
        DIAGNOSES.index(sample.split()[0])
        if not folders & set(DIAGNOSES)
        else max(DIAGNOSES.index(folder) for folder in folders & set(DIAGNOSES))
    )
    labels: dict[str, Label] = {"diagnosis": diagnosis, "malignant": int(diagnosis == 2)}
    layers = [MaskLayer(path, _LESION) for part, path in sorted(files.items()) if part != MODALITY]
    if layers:
        labels["lesion"] = MaskLabel.of(*layers, content="required" if diagnosis else "absent")
    return Patient(id=sample, images={MODALITY: files[MODALITY]} if MODALITY in files else {}, labels=labels)


def _misplaced(sample: str, files: dict[str, Path]) -> list[Problem]:
    name = sample.split()[0]
    wrong = [path for path in files.values() if path.parent.name.lower() != name]
    return [problem("wrong-folder", sample, "diagnosis", str(wrong[0]), expected=f"a folder {name}")] if wrong else []
