"""Small valid releases of HECKTOR and STS, written file by file, for tests that damage one thing of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from branchpoint.config import DatasetConfig
from branchpoint.datasets.check import check_cohort
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.readers.registry import read_cohort

IDS = tuple(f"CHUM-{number:03d}" for number in range(1, 7))
STS_IDS = tuple(f"STS_{number:03d}" for number in range(1, 7))
EVENTS = (1, 0, 1, 1, 1, 1)
DAYS = (310, 2037, 917, 377, 1072, 666)
FOLDS = 2
CT_SPACING, CT_SIZE = (6.0, 6.0, 6.0), (24, 24, 20)
PET_SPACING, PET_SIZE = (9.0, 9.0, 8.0), (16, 16, 15)
ORIGIN = (-69.0, -69.0, 100.0)
BOX = (-60, 60, -60, 60, 110, 210)


def ct(seed: int) -> sitk.Image:
    """Air around a block of soft tissue with some bone, in HU."""
    generator = np.random.default_rng(seed)
    voxels = np.full(CT_SIZE[::-1], -1000, np.int16)
    voxels[4:16, 5:19, 5:19] = generator.normal(40, 15, (12, 14, 14))
    voxels[8:10, 6:9, 6:9] = 900
    return _image(voxels, CT_SPACING)


def pet(seed: int) -> sitk.Image:
    """A hot spot in tissue, in SUV."""
    generator = np.random.default_rng(1000 + seed)
    voxels = generator.gamma(2.0, 0.3, PET_SIZE[::-1]).astype(np.float32)
    voxels[6:9, 7:10, 7:10] = 9.0
    return _image(voxels, PET_SPACING)


def mask(values: Sequence[int] = (1,)) -> sitk.Image:
    """One small block for each value on the CT grid, in the middle."""
    voxels = np.zeros(CT_SIZE[::-1], np.uint8)
    for step, value in enumerate(values):
        voxels[7:10, 7:10, 6 + 3 * step : 9 + 3 * step] = value
    return _image(voxels, CT_SPACING)


def _image(voxels: np.ndarray, spacing: Sequence[float]) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(tuple(spacing))
    image.SetOrigin(ORIGIN)
    return image


def write(path: Path, image: sitk.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@dataclass
class Release:
    """A release on disk, and how to damage it."""

    name: str
    release: str
    root: Path
    files: dict[tuple[str, str], Path]
    tables: dict[str, Path]

    @property
    def config(self) -> DatasetConfig:
        return DatasetConfig(name=self.name, release=self.release, root=str(self.root))

    def check(self, folds: int = FOLDS) -> list[Problem]:
        return check_cohort(read_cohort(self.config), self.config, workers=1, folds=folds)

    def path(self, patient: str, part: str) -> Path:
        return self.files[patient, part]

    def change(self, patient: str, part: str, change: Callable[[sitk.Image], sitk.Image]) -> None:
        """Rewrite a file with what ``change`` makes of its image."""
        write(self.path(patient, part), change(sitk.ReadImage(str(self.path(patient, part)))))

    def change_voxels(self, patient: str, part: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Rewrite a file with what ``change`` makes of its voxels (z, y, x); the grid stays."""

        def changed(image: sitk.Image) -> sitk.Image:
            result = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
            result.CopyInformation(image)
            return result

        self.change(patient, part, changed)

    def cell(self, table: str, patient: str, column: str, text: object) -> None:
        """Write ``text`` into one cell of a table."""
        rows = self.rows(table)
        position = rows[0].index(column)
        write_csv(
            self.tables[table],
            [[text if i == position and row[0] == patient else cell for i, cell in enumerate(row)] for row in rows],
        )

    def rows(self, table: str) -> list[list[str]]:
        with self.tables[table].open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    def write_rows(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        write_csv(self.tables[table], rows)


def hecktor(root: Path, release: str = "2021", ids: Sequence[str] = IDS) -> Release:
    """A HECKTOR release in its official layout."""
    layout: dict[str, Callable[[str], dict[str, Path]]] = {
        "2020": lambda pid: _parts(root / "hecktor_nii" / pid, f"{pid}_ct", f"{pid}_pt", f"{pid}_ct_gtvt"),
        "2021": lambda pid: _parts(root / "hecktor_nii", f"{pid}_ct", f"{pid}_pt", f"{pid}_gtvt"),
        "2022": lambda pid: _parts(root / "imagesTr", f"{pid}__CT", f"{pid}__PT", f"../labelsTr/{pid}"),
        "2025": lambda pid: _parts(root / "Task 1" / pid, f"{pid}__CT", f"{pid}__PT", pid),
    }
    files = {(pid, part): path.resolve() for pid in ids for part, path in layout[release](pid).items()}
    for seed, pid in enumerate(ids):
        write(files[pid, "CT"], ct(seed))
        write(files[pid, "PET"], pet(seed))
        write(files[pid, "tumour"], mask(values=(1,) if release in ("2020", "2021") else (1, 2)))
    made = Release("hecktor", release, root, files, {})
    for name, (file, rows) in _hecktor_tables(release, ids).items():
        made.tables[name] = root / file
        write_csv(root / file, rows)
    return made


def _parts(folder: Path, *names: str) -> dict[str, Path]:
    return {part: folder / f"{name}.nii.gz" for part, name in zip(("CT", "PET", "tumour"), names, strict=True)}


def _hecktor_tables(release: str, ids: Sequence[str]) -> dict[str, tuple[str, list[list[object]]]]:
    boxes: list[list[object]] = [["PatientID", "x1", "x2", "y1", "y2", "z1", "z2"], *([pid, *BOX] for pid in ids)]
    outcomes = list(zip(ids, EVENTS, DAYS, strict=False))
    if release == "2020":
        return {"box": ("hecktor2020_bbox_training.csv", boxes)}
    if release == "2021":
        header: list[object] = [
            "PatientID",
            "CenterID",
            "Gender (1=M,0=F)",
            "Age",
            "Tobacco",
            "TNM edition",
            "T-stage",
            "HPV status (0=-, 1=+)",
            "Estimated weight (kg) for SUV",
        ]
        return {
            "box": ("hecktor2021_bbox_training.csv", boxes),
            "endpoint": (
                "hecktor2021_patient_endpoint_training.csv",
                [["PatientID", "Progression", "Progression free survival"], *map(list, outcomes)],
            ),
            "clinical": (
                "hecktor2021_patient_info_training.csv",
                [header, *([pid, 1, i % 2, 60 + i, "", 7, "T4", i % 2, ""] for i, pid in enumerate(ids))],
            ),
        }
    if release == "2022":
        header = ["PatientID", "Task 1", "Task 2", "CenterID", "Gender", "Age", "Weight", "HPV status (0=-, 1=+)"]
        return {
            "endpoint": ("hecktor2022_endpoint_training.csv", [["PatientID", "Relapse", "RFS"], *map(list, outcomes)]),
            "clinical": (
                "hecktor2022_clinical_info_training.csv",
                [header, *([pid, 1, 1, 1, "M", 60, 80, i % 2] for i, pid in enumerate(ids))],
            ),
        }
    header = ["PatientID", "Age", "Gender", "Tobacco Consumption", "Treatment", "Relapse", "RFS", "HPV Status"]
    rows = [[pid, 60, 1, "", 1, event, days, i % 2] for i, (pid, event, days) in enumerate(outcomes)]
    return {"endpoint": ("HECKTOR_2025_Training_Task_2.csv", [header, *rows])}


def sts(root: Path) -> Release:
    """An STS release in its layout."""
    files: dict[tuple[str, str], Path] = {}
    for seed, pid in enumerate(STS_IDS):
        names = {"CT": "CT_image", "PET": "PET_image", "tumour": "CT_mask", "tumour (PET)": "PET_mask"}
        files |= {(pid, part): root / pid / f"{name}.nii.gz" for part, name in names.items()}
        write(files[pid, "CT"], ct(seed))
        write(files[pid, "PET"], pet(seed))
        write(files[pid, "tumour"], mask())
        write(files[pid, "tumour (PET)"], sitk.Resample(mask(), pet(seed), sitk.Transform(), sitk.sitkNearestNeighbor))
    header = [
        "Patient ID",
        "Age",
        "Sex",
        "Grade",
        "Treatment",
        "Outcome (recurrence, mets)",
        "Time - diagnosis to outcome (days)",
        "Status (NED, AWD, D)",
        "Time - diagnosis to last follow-up (days)",
        "LungMets",
    ]
    rows: list[list[object]] = [[*header]]
    for i, (pid, event, days) in enumerate(zip(STS_IDS, EVENTS, DAYS, strict=True)):
        outcome = ["Mets - lungs", days] if event else ["--", "--"]
        grade = ("High", "Low", "High", "Low", "N/A", "High")[i]
        rows.append(
            [pid, 60, "Male", grade, "Radiotherapy + Surgery", *outcome, "D" if event else "NED", days + 100, i % 2]
        )
    write_csv(root / "clinical_sts.csv", rows)
    return Release("sts", "", root, files, {"clinical": root / "clinical_sts.csv"})
