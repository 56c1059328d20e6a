"""A case's files, read and judged: volumes, DICOM studies, pictures, and stacks of pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.datasets.checks.volume_files import inspect_volume
from branchpoint.datasets.clinical_texts import ordinal
from branchpoint.datasets.cohort import Patient
from branchpoint.datasets.file_report import FileJob
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.bundle.seen import content_hash, file_digest
from branchpoint.deploy.dicom.study import DicomStudy, DicomVolume, open_study
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.cases import Case

HIGHEST_SUV = 200.0
_HARMLESS = {"oblique-direction", "ct-no-air"}


@dataclass(frozen=True)
class Inputs:
    """What a case holds, ready to be prepared.

    Attributes:
        patient: identifier and files.
        opened: modality to what is in memory already: volumes of a DICOM study, or one picture of a stack.
        digests: modality to SHA-256 of its files, which ``result.json`` records.
        covariates: float (F,) in the bundle's order, NaN where missing.
        warnings: what a reader should know.
        hashes: of the contents of the image files, by which training images are known again.
        study: the DICOM study, where the case is one.
    """

    patient: Patient
    opened: Mapping[str, Any]
    digests: Mapping[str, Sequence[str]]
    covariates: np.ndarray
    warnings: list[str]
    hashes: Sequence[str] = ()
    study: DicomStudy | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read.

    Attributes:
        series: modality to SeriesInstanceUID, number or description.
        weight_kg: replaces the weight in PET headers.
    """

    series: Mapping[str, str] = field(default_factory=dict)
    weight_kg: float | None = None


def input_digests(case: Case) -> dict[str, list[str]]:
    """SHA-256 of every file of ``case``: of each modality, or of the study's folder as a whole.

    Raises:
        CaseError: a file is missing.
    """
    if case.study is not None:
        files = [path for path in sorted(case.study.rglob("*")) if path.is_file()]
        if not files:
            raise CaseError("missing-file", f"{case.study}: no such folder, or an empty one", "check the path")
        return {"study": [file_digest(path) for path in files]}
    for modality, path in case.images.items():
        if not path.is_file():
            raise CaseError("missing-file", f"{modality}: {path}: no such file", "check the path")
    return {name: [file_digest(path)] for name, path in case.images.items()}


def read_case(case: Case, bundle: Bundle, reading: Reading) -> Inputs:
    """Find, check and open what ``case`` names.

    Raises:
        CaseError: a file or value is missing, damaged, or not what the bundle was trained on.
    """
    modalities = bundle.preparation.modalities
    digests = input_digests(case)
    covariates, notes = _covariates(case, bundle)
    if case.study is not None:
        study = open_study(case.study, modalities, reading.series, reading.weight_kg)
        opened = {name: volume.read() for name, volume in study.volumes.items()}
        notes += [note for name, volume in study.volumes.items() for note in _judge_uptake(volume, opened[name])]
        patient = Patient(id=case.id, images={}, box=case.box)
        return Inputs(patient, opened, digests, covariates, [*notes, *study.warnings], study=study)
    if missing := [name for name in modalities if name not in case.images]:
        raise CaseError("missing-image", f"no {missing[0]} image", f"the bundle needs {', '.join(modalities)}")
    if bundle.preparation.kind == "volume":
        for name in modalities:
            notes += _judge_volume(case.id, name, case.images[name])
    patient = Patient(id=case.id, images=dict(case.images), box=case.box)
    hashes = [content_hash(path) for path in case.images.values()]
    return Inputs(patient, {}, digests, covariates, notes, hashes)


def _judge_uptake(volume: DicomVolume, image: Any) -> list[str]:
    """A warning about SUV beyond what tissue takes up; an error where the header alone says that it is SUV."""
    import SimpleITK as sitk

    if volume.suv is None:
        return []
    highest = float(sitk.GetArrayViewFromImage(image).max())
    if highest <= HIGHEST_SUV:
        return []
    if volume.suv.weight_kg is None:
        raise CaseError(
            "pet-not-suv",
            f"{volume.modality}: {volume.suv.rule}, and its highest value is {highest:.0f}",
            "check the units (0054,1001), or give the series in BQML",
        )
    return [f"{volume.modality}: the highest SUV is {highest:.0f}: check dose and weight"]


def _judge_volume(case: str, modality: str, path: Path) -> list[str]:
    """Warnings about a file; the first error is raised."""
    report = inspect_volume(FileJob(case, modality, path, modality, air_in_view=False))
    notes = []
    for found in report.problems:
        rule = "pet-not-suv" if found.rule == "pet-high" else found.rule
        if found.severity == "error" or found.rule == "pet-high":
            raise CaseError(rule, f"{modality}: {path.name}: {found.found}", found.fix)
        if found.rule not in _HARMLESS:
            notes.append(f"{modality}: {found.rule}: {found.found}")
    return notes


def _covariates(case: Case, bundle: Bundle) -> tuple[np.ndarray, list[str]]:
    names = [covariate["name"] for covariate in bundle.preprocessing["covariates"]]
    values, notes = [], []
    for name in names:
        given = case.covariates.get(name)
        value = ordinal(given)
        if given is not None and math.isnan(value):
            raise CaseError("bad-covariate", f"{name} is {given!r}", "give a number, a stage, or leave it empty")
        if math.isnan(value):
            notes.append(f"{name} is missing: the training patients' mean was used")
        values.append(value)
    return np.array(values, np.float32), notes
