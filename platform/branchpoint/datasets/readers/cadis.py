"""CaDIS: frames of 25 cataract operations with 36 classes, and the challenge's three tasks that merge them.

Frames of one video are alike, so folds keep videos together; the official parts do so too and are those of
Bhattarai et al. (2023).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import IGNORED, Codes, Cohort, MaskLabel, MaskLayer, Part, Patient, TargetKind
from branchpoint.datasets.files import list_files
from branchpoint.datasets.preparation.image_files import is_picture
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.shared import collect, missing_parts, nothing_found

MODALITY = "frame"
LAYOUT = "VideoNN/Images/VideoN_frameNNNNNN.png and VideoNN/Labels with the same names"
VALIDATION_VIDEOS, TEST_VIDEOS = (5, 7, 16), (2, 12, 22)

CLASSES = (
    "pupil",
    "tape",
    "hand",
    "eye retractors",
    "iris",
    "skin",
    "cornea",
    "hydrodissection cannula",
    "viscoelastic cannula",
    "capsulorhexis cystotome",
    "Rycroft cannula",
    "Bonn forceps",
    "primary knife",
    "phaco handpiece",
    "lens injector",
    "I/A handpiece",
    "secondary knife",
    "micromanipulator",
    "I/A handle",
    "capsulorhexis forceps",
    "Rycroft handle",
    "phaco handle",
    "cystotome handle",
    "secondary knife handle",
    "lens injector handle",
    "suture needle",
    "needle holder",
    "Charleux cannula",
    "primary knife handle",
    "vitrectomy handpiece",
    "Mendez ring",
    "marker",
    "hydrodissection handle",
    "Troutman forceps",
    "cotton",
    "iris hooks",
)
"""Names of the stored values 0 to 35."""

_MERGED_2 = {
    7: (7, 8, 10, 20, 27, 32),
    8: (9, 22),
    9: (11, 33),
    10: (12, 28),
    11: (13, 21),
    12: (14, 24),
    13: (15, 18),
    14: (16, 23),
    15: (17,),
    16: (19,),
}
_NAMES_2 = (
    "cannula",
    "cystotome",
    "tissue forceps",
    "primary knife",
    "phaco handpiece",
    "lens injector",
    "I/A handpiece",
    "secondary knife",
    "micromanipulator",
    "capsulorhexis forceps",
)


def _codes(classes: Mapping[int, int]) -> Codes:
    """Every stored value with its class; those that a task leaves out are ignored."""
    return tuple((value, classes.get(value, IGNORED)) for value in (*range(len(CLASSES)), IGNORED))


TASKS: dict[str, Codes] = {
    "task_1": _codes({value: min(value, 7) for value in range(len(CLASSES))}),
    "task_2": _codes(
        {**{value: value for value in range(7)}, **{old: new for new, group in _MERGED_2.items() for old in group}}
    ),
    "task_3": _codes({value: value for value in range(25)}),
}
"""Target to codes: 8, 17 and 25 classes from 0 (pupil); there is no background."""
CLASS_NAMES = {"task_1": (*CLASSES[:7], "instrument"), "task_2": (*CLASSES[:7], *_NAMES_2), "task_3": CLASSES[:25]}

_FILE = re.compile(r"Video(\d+)_frame(\d+)\.png", re.IGNORECASE)


def read(dataset: DatasetConfig) -> Cohort:
    """The frames under ``dataset.root``, the folder of the videos or one above it.

    Label maps in a folder ``relabelled`` are corrections and replace those of the same name. A release without any
    frames, of label maps alone, can be checked, not trained on.

    Targets: ``task_1``, ``task_2``, ``task_3`` (masks of 8, 17 and 25 classes from 0; what has no class is ignored).
    """
    root = Path(dataset.root)
    listing = list_files(root.parent if re.fullmatch(r"Video\d+", root.name, re.IGNORECASE) else root)
    corrected = {path.name: path for path in listing if path.parent.name.lower() == "relabelled"}
    replaced = {path for path in listing if _is_label(path) and corrected.get(path.name, path) != path}
    files, problems = collect((path for path in listing if path not in replaced), _part)
    if not files:
        problems = [nothing_found(root, LAYOUT)]
    labels_only = bool(files) and not any(MODALITY in parts for parts in files.values())
    if labels_only:
        problems.append(problem("no-images", "", MODALITY, f"{len(files)} label maps under {root}, and no frames"))
    patients = []
    for sample, parts in files.items():
        patients.append(_patient(sample, parts))
        problems += _misplaced(sample, parts)
        if not labels_only:
            video = patients[-1].group
            expected = {MODALITY: f"{video}/Images/{sample}.png", "labels": f"{video}/Labels/{sample}.png"}
            problems += missing_parts(sample, parts, expected)
    patients.sort(key=lambda patient: patient.id)
    targets: dict[str, TargetKind] = dict.fromkeys(TASKS, "segmentation")
    parts_of = {patient.id: _official(patient) for patient in patients}
    return Cohort(
        name="cadis",
        release="",
        root=root,
        modalities=(MODALITY,),
        targets=targets,
        patients=tuple(patients),
        problems=tuple(problems),
        dimensions=2,
        channels={MODALITY: 3},
        class_names=CLASS_NAMES,
        splits={"official": parts_of, "paper": parts_of},
    )


def _is_label(path: Path) -> bool:
    return path.parent.name.lower() in ("labels", "relabelled")


def _part(path: Path) -> tuple[str, str] | None:
    match = _FILE.fullmatch(path.name)
    if match is None or not is_picture(path):
        return None
    if _is_label(path):
        return path.stem, "labels"
    return (path.stem, MODALITY) if path.parent.name.lower() == "images" else None


def _video(sample: str) -> int:
    match = _FILE.fullmatch(f"{sample}.png")
    assert match is not None
    return int(match[1])


def _patient(sample: str, files: Mapping[str, Path]) -> Patient:
    labels = {}
    if "labels" in files:
        labels = {
            task: MaskLabel.of(MaskLayer(files["labels"], codes, ()), outside=IGNORED, content="optional")
            for task, codes in TASKS.items()
        }
    images = {MODALITY: files[MODALITY]} if MODALITY in files else {}
    return Patient(id=sample, images=images, labels=labels, group=f"Video{_video(sample):02d}")


def _official(patient: Patient) -> Part:
    video = _video(patient.id)
    return "validation" if video in VALIDATION_VIDEOS else "test" if video in TEST_VIDEOS else "train"


def _misplaced(sample: str, files: Mapping[str, Path]) -> list[Problem]:
    """Files in the folder of another video."""
    rows = []
    for part, path in files.items():
        match = re.fullmatch(r"Video(\d+)", path.parent.parent.name, re.IGNORECASE)
        if match and int(match[1]) != _video(sample):
            rows.append(problem("wrong-folder", sample, part, str(path), expected=f"Video{_video(sample):02d}"))
    return rows
