"""Writes a case's folder: masks, labels, result, page; it appears under its name when it is whole."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.datasets.checks.headers import is_nifti
from branchpoint.datasets.preparation.placement import VolumePlacement
from branchpoint.datasets.preparation.volume_files import Grid, image_on
from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.settings import Predicted, Settings

RESULT = "result.json"
FAILED = "failed"


def write_case(predicted: Predicted, out: Path, settings: Settings, bundle: Bundle) -> Path:
    """Write everything about a case to ``out/<id>``, in place of an earlier result; gives the folder."""
    case = str(predicted.result["case"])
    for left in out.glob(f".{case}.{'[0-9a-f]' * 8}"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    beside = out / f".{case}.{uuid.uuid4().hex[:8]}"
    beside.mkdir(parents=True)
    try:
        for name, classes in predicted.masks.items():
            write_mask(beside / name, classes, predicted.grids[name], _source(predicted, name))
        for name, values in predicted.probabilities.items():
            _write_probabilities(beside / name.replace("mask", "probabilities", 1), values, predicted.grids[name])
        for name, one in predicted.maps.items():
            write_map(beside / name, one.native, one.grid)
        if predicted.labels:
            (beside / "labels.json").write_text(json.dumps(predicted.labels, indent=1))
        if settings.dicom_seg:
            from branchpoint.deploy.prediction.dicom_seg import write_segmentation

            for name in predicted.masks:
                write_segmentation(predicted, name, beside / (name.split(".")[0] + ".dcm"))
        (beside / RESULT).write_text(json.dumps(predicted.result, indent=1, ensure_ascii=False))
        if settings.page:
            from branchpoint.deploy.prediction.page import write_page

            write_page(predicted, bundle, beside / "page.html")
        return _in_place(beside, out / case)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _in_place(beside: Path, folder: Path) -> Path:
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        os.replace(beside, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(beside, folder)
    (folder.parent / FAILED / f"{folder.name}.json").unlink(missing_ok=True)
    return folder


def write_failure(case: str, problem: Exception, out: Path) -> dict[str, str]:
    """``failed/<id>.json``: rule, what was found, what to do."""
    if isinstance(problem, CaseError):
        content = {"case": case, "rule": problem.rule, "found": problem.found, "fix": problem.fix}
    else:
        found = f"{type(problem).__name__}: {problem}"
        content = {"case": case, "rule": "unexpected", "found": found, "fix": "report this with the file, if you may"}
    folder = out / FAILED
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{case}.{uuid.uuid4().hex[:8]}"
    beside.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    os.replace(beside, folder / f"{case}.json")
    return content


def write_mask(path: Path, classes: np.ndarray, grid: Grid | None, source: Path | None) -> None:
    """Class ids as a NIfTI file on the grid of the input, as a grey PNG of the picture's size, or as pages of a TIFF.

    Where the input is NIfTI, its header is kept: both of its transforms, with their codes.
    """
    if path.suffix == ".tif":
        from branchpoint.deploy.prediction.stacks import write_tiff

        write_tiff(path, classes)
        return
    if grid is None:
        from PIL import Image

        Image.fromarray(classes).save(path)
        return
    if source is not None and is_nifti(source):
        import nibabel

        header: Any = nibabel.load(source).header.copy()
        header.set_data_dtype(np.uint8)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        voxels = np.ascontiguousarray(classes.transpose(2, 1, 0))
        nibabel.save(nibabel.Nifti1Image(voxels, None, header), path)
        return
    import SimpleITK as sitk

    sitk.WriteImage(image_on(classes, grid), str(path), useCompression=True)


def write_map(path: Path, values: np.ndarray, grid: Grid | None) -> None:
    """float32 ([D,] H, W) as NIfTI on ``grid``, or as a TIFF of the picture's size."""
    if grid is None:
        from PIL import Image

        Image.fromarray(values).save(path, compression="tiff_deflate")
        return
    import SimpleITK as sitk

    sitk.WriteImage(image_on(values, grid), str(path), useCompression=True)


def _write_probabilities(path: Path, values: np.ndarray, grid: Grid | None) -> None:
    """float16 (outputs, [D,] H, W) beside the mask, whose header has the geometry."""
    np.savez_compressed(
        str(path).removesuffix(".nii.gz").removesuffix(".png").removesuffix(".tif") + ".npz", probabilities=values
    )


def _source(predicted: Predicted, name: str) -> Path | None:
    """The image file whose grid the mask has."""
    placement, grid = predicted.prepared.placement, predicted.grids[name]
    images = predicted.inputs.patient.images
    if grid is not None and not isinstance(placement, VolumePlacement):  # a stack of slices
        return next(iter(images.values()))
    if not isinstance(placement, VolumePlacement):
        return None
    return next(
        (images[name] for name in placement.modalities if name in images and placement.grid(name) == grid), None
    )


def read_result(folder: Path) -> Mapping[str, Any] | None:
    """``result.json`` of a case's folder; ``None`` where there is none that can be read."""
    try:
        found = json.loads((folder / RESULT).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
