"""Small DICOM studies, written by pydicom: CT and PET whose voxels and geometry the test knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: extra deploy")

CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "PT": "1.2.840.10008.5.1.4.1.1.128"}
FRAME = "1.2.826.0.1.3680043.8.498.1"
STUDY = "1.2.826.0.1.3680043.8.498.2"

Edit = Callable[[Any, int], None]


def write_series(
    folder: Path,
    modality: str,
    stored: np.ndarray,
    *,
    number: int = 1,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 3.0),
    origin_mm: tuple[float, float, float] = (-20.0, -30.0, 100.0),
    slopes: np.ndarray | None = None,
    intercept: float = 0.0,
    edit: Edit | None = None,
) -> list[Path]:
    """Write ``stored``, int16 (D, H, W), as one file for each slice; ``edit(dataset, k)`` changes slice k's header."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, pixels in enumerate(stored):
        slice_ = _slice(modality, pixels, number, k)
        slice_.PixelSpacing = [spacing_mm[1], spacing_mm[0]]
        slice_.ImagePositionPatient = [origin_mm[0], origin_mm[1], origin_mm[2] + k * spacing_mm[2]]
        slice_.RescaleSlope = str(1.0 if slopes is None else slopes[k])
        slice_.RescaleIntercept = str(intercept)
        if edit is not None:
            edit(slice_, k)
        # Names in another order than the slices: readers must sort by position.
        path = folder / f"{modality}{number}-{(k * 7) % 100:03d}-{k}.dcm"
        slice_.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _slice(modality: str, pixels: np.ndarray, number: int, k: int) -> Any:
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = CLASSES[modality]
    meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.3.{number}.{k + 1}"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made = pydicom.dataset.Dataset()
    made.file_meta = meta
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"1.2.826.0.1.3680043.8.498.4.{number}"
    made.FrameOfReferenceUID = FRAME
    made.Modality, made.SeriesNumber, made.SeriesDescription = modality, number, f"{modality} of a phantom"
    made.PatientID, made.PatientName, made.PatientSex, made.PatientBirthDate = "P1", "Doe^Jane", "F", "19600101"
    made.StudyID, made.AccessionNumber, made.ReferringPhysicianName, made.InstanceNumber = "1", "1", "", k + 1
    made.StudyDate = made.SeriesDate = made.AcquisitionDate = made.ContentDate = "20240501"
    made.StudyTime = made.SeriesTime = made.AcquisitionTime = made.ContentTime = "120000"
    made.Manufacturer, made.ImageType = "Phantom", ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 1
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
    made.PixelData = pixels.astype("<i2").tobytes()
    if modality == "PT":
        _pet(made)
    return made


def _pet(made: Any) -> None:
    made.Units, made.DecayCorrection, made.CorrectedImage = "BQML", "START", ["ATTN", "DECY", "SCAT"]
    made.SeriesType, made.PatientWeight = ["WHOLE BODY", "IMAGE"], 70.0
    tracer = pydicom.dataset.Dataset()
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = 3.5e8, 6586.2
    tracer.RadiopharmaceuticalStartTime = "110000"
    made.RadiopharmaceuticalInformationSequence = [tracer]
