"""HECKTOR: PET/CT of head and neck tumours, with relapse- or progression-free survival and HPV status.

Releases 2020, 2021, 2022 and 2025 in their official layouts; mirrors' small deviations (another folder above, tables
beside or above the images, ``.nii`` for ``.nii.gz``) are accepted. The test sets have no labels and are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, Label, MaskLabel, Patient, TargetKind
from branchpoint.datasets.files import describe_folder, list_files, listed, without_suffix
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers import hecktor_tables

RELEASES = ("2020", "2021", "2022", "2025")
MODALITIES = ("CT", "PET")
TUMOUR_VALUES = {"2020": (1,), "2021": (1,), "2022": (1, 2), "2025": (1, 2)}
"""GTVt in 2020 and 2021; primary tumour (GTVp) 1 and lymph nodes (GTVn) 2 since."""

LAYOUTS = {
    "2020": "hecktor_nii/PID/PID_ct.nii.gz, PID_pt.nii.gz and PID_ct_gtvt.nii.gz",
    "2021": "hecktor_nii/PID_ct.nii.gz, PID_pt.nii.gz and PID_gtvt.nii.gz",
    "2022": "imagesTr/PID__CT.nii.gz, PID__PT.nii.gz and labelsTr/PID.nii.gz",
    "2025": "Task 1/PID/PID__CT.nii.gz, PID__PT.nii.gz and PID.nii.gz",
}
_SINGLE = re.compile(r"(?P<id>.*?[^_])_(?P<what>ct|pt|gtvt|ct_gtvt)\.nii(\.gz)?", re.IGNORECASE)
_DOUBLE = re.compile(r"(?P<id>.*?[^_])__(?P<what>ct|pt)\.nii(\.gz)?", re.IGNORECASE)
_PARTS = {"ct": "CT", "pt": "PET", "gtvt": "tumour", "ct_gtvt": "tumour"}
_INSIDE = re.compile(r"hecktor_nii|imagesTr|labelsTr|Task ?\d", re.IGNORECASE)

_TABLES = {
    "2020": ("box",),
    "2021": ("box", "survival", "clinical"),
    "2022": ("survival", "clinical"),
    "2025": ("survival", "clinical"),
}
_TABLE_USE = {
    "box": "bounding boxes (PatientID,x1,x2,y1,y2,z1,z2); the automatic box is used",
    "survival": "endpoints (PatientID, event, days); nobody has a survival label",
    "clinical": "clinical values (PatientID, gender, age, ...); covariates and HPV status are missing",
}

Files = Mapping[str, Mapping[str, Path]]
"""Patient to part (``CT``, ``PET``, ``tumour``) to file."""


def read(dataset: DatasetConfig) -> Cohort:
    """The training patients of a release under ``dataset.root``, which may hold tables only.

    Targets: ``tumour`` in every release, ``survival`` (days; 2021: progression, 2022 and 2025: relapse) and ``hpv``.

    Raises:
        ValueError: the release is not one of ``RELEASES``.
    """
    release, root = dataset.release, Path(dataset.root)
    if release not in RELEASES:
        raise ValueError(f"dataset.release is {release!r}: hecktor has the releases {', '.join(RELEASES)}")
    top = root.parent if _INSIDE.fullmatch(root.name) else root
    everything = list_files(top)
    listing = _of_release(everything, top, release)
    tables = hecktor_tables.read_tables([path for path in listing if path.suffix.lower() == ".csv"])
    images, problems = find_images(listing, release)
    images = {patient: files for patient, files in images.items() if patient not in tables.testing}
    problems += tables.problems
    patients: list[Patient] = []
    if images or tables.records:
        problems += [
            problem("missing-table", "", kind, f"no {kind} table under the root", expected=_TABLE_USE[kind])
            for kind in _TABLES[release]
            if kind not in tables.rows
        ]
    else:
        problems.append(_nothing_found(root, everything, release))
    for patient in sorted({*images, *tables.records}):
        one, rows = _patient(patient, images.get(patient, {}), tables, release)
        patients.append(one)
        problems += rows
    targets: dict[str, TargetKind] = {"tumour": "segmentation"}
    if release != "2020" or "survival" in tables.rows:
        targets |= {"survival": "survival", "hpv": "classification"}
    return Cohort(
        name="hecktor",
        release=release,
        root=root,
        modalities=MODALITIES,
        targets=targets,
        patients=tuple(patients),
        problems=tuple(problems),
        region="head_and_neck",
    )


def mask_grid(release: str) -> str | None:
    """The modality whose grid the masks share: CT, as the file names say, in 2020 and 2021; any grid since."""
    return "CT" if release in ("2020", "2021") else None


def find_images(listing: Iterable[Path], release: str) -> tuple[Files, list[Problem]]:
    """The images and masks of a release among files, and the patients that two files claim."""
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    problems = []
    for path in listing:
        named = _part(path, release)
        if named is None:
            continue
        patient, part = named
        held = found[patient].setdefault(part, path)
        if held != path and release != "2025":  # there, one patient may stand in the folders of several tasks
            problems.append(problem("duplicate-patient", patient, part, f"{path}, beside {held}"))
    return found, problems


def _of_release(files: Iterable[Path], top: Path, release: str) -> list[Path]:
    """Files that can be of this release's training set, or tables of its test set, judged by names below ``top``."""

    def belongs(parts: Sequence[str]) -> bool:
        years = {year for part in parts for year in re.findall(r"hecktor[ _-]?(20\d\d)", part, re.IGNORECASE)}
        testing = any(re.search("test|imagesTs|labelsTs", part, re.IGNORECASE) for part in parts[:-1])
        return years <= {release} and not testing

    return [path for path in files if belongs(path.relative_to(top).parts)]


def _part(path: Path, release: str) -> tuple[str, str] | None:
    """Patient and part of a file of this release, or ``None``."""
    match = (_SINGLE if release in ("2020", "2021") else _DOUBLE).fullmatch(path.name)
    if match:
        return match["id"], _PARTS[match["what"].lower()]
    name = without_suffix(path.name)
    is_label = release in ("2022", "2025") and name != path.name
    return (name, "tumour") if is_label and path.parent.name in ("labelsTr", name) else None


def _patient(
    patient: str, files: Mapping[str, Path], tables: hecktor_tables.HecktorTables, release: str
) -> tuple[Patient, list[Problem]]:
    record = tables.records.get(patient, {})
    labels, problems = hecktor_tables.labels(patient, record)
    values, rows = hecktor_tables.covariates(patient, record)
    box, box_problems = hecktor_tables.bounding_box(patient, record)
    problems += rows + box_problems + _missing_files(patient, files, release)
    without_row = [kind for kind, patients in tables.rows.items() if patient not in patients]
    if record.get("task2") == "0" and "survival" in without_row:  # 2022: not in the survival task, so no endpoint
        without_row.remove("survival")
    if files and without_row:
        found = f"no row in the {listed(without_row)} table"
        problems.append(problem("images-without-row", patient, "", found))
    all_labels: dict[str, Label] = dict(labels)
    if "tumour" in files:
        all_labels["tumour"] = MaskLabel(files["tumour"], TUMOUR_VALUES[release])
    where = hecktor_tables.center(patient, record)
    images = {modality: files[modality] for modality in MODALITIES if modality in files}
    return Patient(
        id=patient, images=images, labels=all_labels, center=where, covariates={"center": where, **values}, box=box
    ), problems


def _missing_files(patient: str, files: Mapping[str, Path], release: str) -> list[Problem]:
    layout = LAYOUTS[release].replace("PID", patient)
    if not files:
        return [problem("row-without-images", patient, "", "a table row, but no image", expected=layout)]
    expected = list(MODALITIES)
    if all(part.lower() not in ("task 2", "task 3") for path in files.values() for part in path.parts):
        expected.append("tumour")  # the folders of 2025's tasks 2 and 3 hold no contours
    found = f"only {listed(path.name for path in files.values())}"
    return [problem("missing-file", patient, part, found, expected=layout) for part in expected if part not in files]


def _nothing_found(root: Path, everything: Sequence[Path], release: str) -> Problem:
    names = "\n".join(map(str, everything)).lower()
    named = [other for other in RELEASES if re.search(f"hecktor[ _-]?{other}", names)]
    others = named or [other for other in RELEASES if find_images(everything, other)[0]]
    expected = f"HECKTOR {release}: {LAYOUTS[release]}, and its CSV tables"
    fix = f"these look like release {others[-1]}: give --release {others[-1]}" if others else None
    return problem("no-patients", "", "", f"{root}: {describe_folder(root)}", expected=expected, fix=fix)
