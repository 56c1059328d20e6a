"""Folders, file names and tables of the HECKTOR releases, as the organisers publish them.

Literals are part of a release: the 2021 tables leave a missing value empty, those of 2022 say ``NaN``, ``Gender`` is
1/0 or M/F, and lines end in CR LF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from branchpoint.phantoms.grid import Point
from branchpoint.phantoms.patients import PhantomPatient

Value = str | int | float | bool | None
Rows = list[dict[str, Value]]
Boxes = Mapping[str, tuple[Point, Point]]


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release of HECKTOR.

    Attributes:
        centers: names of the five centres, in the order of ``PhantomPatient.center``.
        id_format: of a patient's identifier, from the centre's name and the running number.
        ct, pet, mask: paths from the folder of the release, ``{id}`` for the identifier.
        copies: further folders that hold CT and PET of some patients (name of the folder to who is in it).
        mask_grid: grid of the masks: that of the CT, or one of their own.
        nodes: masks hold lymph nodes as 2 beside the primary tumour as 1.
        missing: literal of a missing value.
        tables: paths to the function that gives their rows.
    """

    centers: tuple[str, str, str, str, str]
    id_format: str
    ct: str
    pet: str
    mask: str
    copies: Mapping[str, Callable[[PhantomPatient], bool]]
    mask_grid: Literal["ct", "own"]
    nodes: bool
    missing: str
    tables: Mapping[str, Callable[[Release, Iterable[PhantomPatient], Boxes], Rows]]

    def patient_id(self, patient: PhantomPatient) -> str:
        """Identifier of a patient, such as ``CHGJ007``."""
        return self.id_format.format(self.centers[patient.center], patient.number)

    def image(self, template: str, patient: PhantomPatient) -> PurePosixPath:
        """Path of one of a patient's files."""
        return PurePosixPath(template.format(id=self.patient_id(patient)))

    def text(self, rows: Rows) -> str:
        """The CSV text of a table."""
        header = list(rows[0])
        lines = [header, *([self._literal(row[name]) for name in header] for row in rows)]
        return "".join(",".join(_quoted(cell) for cell in line) + "\r\n" for line in lines)

    def _literal(self, value: Value) -> str:
        if value is None:
            return self.missing
        return str(int(value)) if isinstance(value, bool) else str(value)


def _quoted(cell: str) -> str:
    return f'"{cell}"' if "," in cell else cell


def _boxes(release: Release, patients: Iterable[PhantomPatient], boxes: Boxes) -> Rows:
    rows: Rows = []
    for patient in patients:
        name = release.patient_id(patient)
        (x1, y1, z1), (x2, y2, z2) = boxes[name]
        rows.append({"PatientID": name, "x1": x1, "x2": x2, "y1": y1, "y2": y2, "z1": z1, "z2": z2})
    return rows


def _endpoint_2021(release: Release, patients: Iterable[PhantomPatient], _: Boxes) -> Rows:
    return [
        {"PatientID": release.patient_id(p), "Progression": p.event, "Progression free survival": p.time_days}
        for p in patients
    ]


def _info_2021(release: Release, patients: Iterable[PhantomPatient], _: Boxes) -> Rows:
    return [
        {
            "PatientID": release.patient_id(p),
            "CenterID": p.center + 1,
            "Gender (1=M,0=F)": p.clinical.man,
            "Age": p.clinical.age,
            "Tobacco": p.clinical.tobacco,
            "Alcohol": p.clinical.alcohol,
            "Performance status": p.clinical.performance_status,
            "TNM edition": 8 if p.center == 4 else 7,
            "T-stage": p.clinical.t_stage,
            "N-stage": p.clinical.n_stage,
            "M-stage": p.clinical.m_stage,
            "TNM group": p.clinical.group,
            "HPV status (0=-, 1=+)": p.clinical.hpv,
            "Chemotherapy": p.clinical.chemotherapy,
            "Estimated weight (kg) for SUV": 75 if p.center == 2 and p.number % 3 == 0 else None,
        }
        for p in patients
    ]


_CENTER_IDS = {"CHUM": 1, "CHUP": 2, "CHUS": 3, "HGJ": 6, "HMR": 7}  # of 2022 and 2025


def _endpoint_2022(release: Release, patients: Iterable[PhantomPatient], _: Boxes) -> Rows:
    return [
        {"PatientID": release.patient_id(p), "Relapse": p.event, "RFS": p.time_days}
        for p in patients
        if p.clinical.followed_up
    ]


def _clinical_2022(release: Release, patients: Iterable[PhantomPatient], _: Boxes) -> Rows:
    return [
        {
            "PatientID": release.patient_id(p),
            "Task 1": 1,
            "Task 2": p.clinical.followed_up,
            "CenterID": _CENTER_IDS[release.centers[p.center]],
            "Gender": "M" if p.clinical.man else "F",
            "Age": p.clinical.age,
            "Weight": None if p.center == 2 and p.number % 3 == 0 else p.clinical.weight_kg,
            "Tobacco": p.clinical.tobacco,
            "Alcohol": p.clinical.alcohol,
            "Performance status": p.clinical.performance_status,
            "HPV status (0=-, 1=+)": p.clinical.hpv,
            "Surgery": p.clinical.surgery,
            "Chemotherapy": p.clinical.chemotherapy,
        }
        for p in patients
    ]


def _clinical_2025(release: Release, p: PhantomPatient) -> dict[str, Value]:
    return {
        "PatientID": release.patient_id(p),
        "CenterID": _CENTER_IDS[release.centers[p.center]],
        "Age": p.clinical.age,
        "Gender": p.clinical.man,
        "Tobacco Consumption": _decimal(p.clinical.tobacco),
        "Alcohol Consumption": _decimal(p.clinical.alcohol),
        "Performance Status": _decimal(p.clinical.performance_status),
        "M-stage": p.clinical.m_stage,
        "Treatment": p.clinical.chemotherapy,
    }


def _decimal(value: float | None) -> float | None:
    return None if value is None else float(value)


def _task_1_2025(release: Release, patients: Iterable[PhantomPatient], _: Boxes) -> Rows:
    return [_clinical_2025(release, p) for p in patients]


def _task_2_2025(release: Release, patients: Iterable[PhantomPatient], _: Boxes) -> Rows:
    return [{**_clinical_2025(release, p), "Relapse": p.event, "RFS": p.time_days} for p in patients if _in_task_2(p)]


def _task_3_2025(release: Release, patients: Iterable[PhantomPatient], _: Boxes) -> Rows:
    return [{**_clinical_2025(release, p), "HPV Status": p.clinical.hpv} for p in patients if _in_task_3(p)]


def _in_task_2(patient: PhantomPatient) -> bool:
    return patient.clinical.followed_up


def _in_task_3(patient: PhantomPatient) -> bool:
    return patient.clinical.hpv is not None


_CENTERS_2021 = ("CHGJ", "CHUS", "CHMR", "CHUM", "CHUP")
_CENTERS_2022 = ("HGJ", "CHUS", "HMR", "CHUM", "CHUP")

RELEASES: dict[str, Release] = {
    "2020": Release(
        centers=_CENTERS_2021,
        id_format="{}{:03d}",
        missing="",
        mask_grid="ct",
        nodes=False,
        copies={},
        ct="hecktor_nii/{id}/{id}_ct.nii.gz",
        pet="hecktor_nii/{id}/{id}_pt.nii.gz",
        mask="hecktor_nii/{id}/{id}_ct_gtvt.nii.gz",
        tables={"bbox.csv": _boxes},
    ),
    "2021": Release(
        centers=_CENTERS_2021,
        id_format="{}{:03d}",
        missing="",
        mask_grid="ct",
        nodes=False,
        copies={},
        ct="hecktor_nii/{id}_ct.nii.gz",
        pet="hecktor_nii/{id}_pt.nii.gz",
        mask="hecktor_nii/{id}_gtvt.nii.gz",
        tables={
            "hecktor2021_bbox_training.csv": _boxes,
            "hecktor2021_patient_endpoint_training.csv": _endpoint_2021,
            "hecktor2021_patient_info_training.csv": _info_2021,
        },
    ),
    "2022": Release(
        centers=_CENTERS_2022,
        id_format="{}-{:03d}",
        missing="NaN",
        mask_grid="own",
        nodes=True,
        copies={},
        ct="hecktor2022_training/imagesTr/{id}__CT.nii.gz",
        pet="hecktor2022_training/imagesTr/{id}__PT.nii.gz",
        mask="hecktor2022_training/labelsTr/{id}.nii.gz",
        tables={
            "hecktor2022_training/hecktor2022_endpoint_training.csv": _endpoint_2022,
            "hecktor2022_training/hecktor2022_clinical_info_training.csv": _clinical_2022,
        },
    ),
    "2025": Release(
        centers=_CENTERS_2022,
        id_format="{}-{:03d}",
        missing="",
        mask_grid="ct",
        nodes=True,
        ct="Task 1/{id}/{id}__CT.nii.gz",
        pet="Task 1/{id}/{id}__PT.nii.gz",
        mask="Task 1/{id}/{id}.nii.gz",
        copies={"Task 2": _in_task_2, "Task 3": _in_task_3},
        tables={
            "Task 1/HECKTOR_2025_Training_Task_1.csv": _task_1_2025,
            "Task 2/HECKTOR_2025_Training_Task_2.csv": _task_2_2025,
            "Task 3/HECKTOR_2025_Training_Task_3.csv": _task_3_2025,
        },
    ),
}
