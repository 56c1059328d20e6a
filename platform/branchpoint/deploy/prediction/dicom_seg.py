"""A mask as a DICOM segmentation that refers to the slices it was drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint import __version__
from branchpoint.deploy.dicom.study import DicomVolume
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.settings import Predicted


def write_segmentation(predicted: Predicted, name: str, path: Path) -> None:
    """Write the mask ``name`` as a BINARY segmentation, a segment for each class that was found.

    Raises:
        CaseError: the case is no DICOM study, or highdicom is missing.
    """
    study = predicted.inputs.study
    if study is None:
        raise CaseError("no-dicom", "--dicom-seg refers to DICOM slices, and the case has none", "leave it out")
    hd = _highdicom()
    grid = predicted.grids[name]
    placement: Any = predicted.prepared.placement
    volume = next(volume for modality, volume in study.volumes.items() if placement.grid(modality) == grid)
    classes, labels = predicted.masks[name], predicted.labels[name]
    numbers = [number for number in labels if number > 0 and (classes == number).any()]
    if not numbers:
        predicted.result["warnings"].append(f"{name}: nothing was found, so there is no DICOM segmentation")
        return
    made = hd.seg.Segmentation(
        source_images=_sources(volume),
        pixel_array=np.stack([classes == number for number in numbers], axis=-1).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_segments([labels[number] for number in numbers], predicted.result["bundle"]["study"]),
        series_instance_uid=hd.UID(),
        series_number=900,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Branchpoint",
        manufacturer_model_name="Branchpoint",
        software_versions=__version__,
        device_serial_number="0",
        series_description="Research segmentation, not for clinical use",
        omit_empty_frames=True,
    )
    made.save_as(path)


def _sources(volume: DicomVolume) -> list[Any]:
    """Headers of the slices that the segmentation refers to."""
    import pydicom

    slices = [pydicom.dcmread(instance.path, stop_before_pixels=True) for instance in volume.slices]
    for header in slices:
        if header.get("SliceThickness") is None:  # scanners may leave it empty; the distance of slices is known
            header.SliceThickness = f"{volume.grid.spacing_mm[2]:.6g}"
    return slices


def _segments(labels: Sequence[str], study: str) -> list[Any]:
    """A description of each segment, found by an algorithm that is named after the study."""
    from pydicom.sr.codedict import codes

    hd = _highdicom()
    algorithm = hd.AlgorithmIdentificationSequence(
        name=f"Branchpoint {study}", version=__version__, family=codes.DCM.ArtificialIntelligence
    )
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label[:64],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, label in enumerate(labels, start=1)
    ]


def _highdicom() -> Any:
    try:
        import highdicom
    except ImportError:
        raise CaseError(
            "missing-package", "DICOM segmentations need highdicom", 'pip install "branchpoint[deploy]"'
        ) from None
    return highdicom
