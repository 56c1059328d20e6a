"""Reads one volume or its mask completely and judges it by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from branchpoint.datasets.checks.files import report_of
from branchpoint.datasets.checks.headers import Fault, is_nifti, nifti_faults, spacing_faults
from branchpoint.datasets.checks.intensities import INTENSITY_RULES, looks_like_ct, typical_uptake
from branchpoint.datasets.checks.metaimage import is_metaimage, metaimage_faults
from branchpoint.datasets.file_report import FileJob, FileReport
from branchpoint.datasets.files import listed, unreadable_reason
from branchpoint.datasets.preparation.modalities import unit_of
from branchpoint.datasets.preparation.volume_files import Grid, grid_of, read_image

FATAL = ("missing-file", "truncated-file", "unreadable-file", "bad-spacing", "bad-units", "bad-scaling", "too-large")
"""Faults of a header that leave nothing to read."""
MASK_MAX_SHARE = 0.5
"""A tumour fills less than half of any volume; a mask that fills more has background and tumour exchanged."""


def inspect_volume(job: FileJob) -> FileReport:
    """Read one file, header, bytes and voxels, and judge it by itself; whatever goes wrong becomes a row."""
    try:
        return _inspect(job)
    except Exception as failure:
        return report_of(job, [Fault("reader-crashed", f"{job.path}: {type(failure).__name__}: {failure}")])


def _inspect(job: FileJob) -> FileReport:
    if reason := unreadable_reason(job.path):
        return report_of(job, [Fault("missing-file", reason, expected=f"the file {job.path}")])
    faults = nifti_faults(job.path) if is_nifti(job.path) else []
    faults += metaimage_faults(job.path) if is_metaimage(job.path) else []
    if any(fault.rule in FATAL for fault in faults):
        return report_of(job, faults)
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what it would warn of stands in the rows
    try:
        image = read_image(job.path)
    except ValueError as failure:
        rule = "too-large" if "declare" in str(failure) else "unreadable-file"
        expected = "sizes that the file can hold" if rule == "too-large" else None
        return report_of(job, [Fault(rule, str(failure), expected)])
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        found = f"{image.GetDimension()} dimensions {image.GetSize()}, {image.GetNumberOfComponentsPerPixel()} channels"
        return report_of(job, [Fault("wrong-dimensions", found)])
    grid = grid_of(image)
    voxels = sitk.GetArrayViewFromImage(image)
    if not is_nifti(job.path):
        faults += spacing_faults(np.array(grid.spacing_mm))
    faults += _direction_faults(grid)
    foreground = None
    if job.kind == "mask":
        mask_faults, foreground = _mask_faults(voxels, job.values, grid)
        faults += mask_faults
    else:
        faults += _image_faults(voxels, job) + _default_geometry(grid)
    digest = None if job.kind == "mask" else _digest(voxels)
    level = typical_uptake(voxels) if unit_of(job.kind) == "SUV" and not faults else None
    return report_of(job, faults, grid=grid, digest=digest, foreground_mm=foreground, typical_uptake=level)


def _direction_faults(grid: Grid) -> list[Fault]:
    rows = np.array(grid.direction).reshape(len(grid.size), -1)
    found = "direction " + "; ".join(" ".join(f"{value:.3g}" for value in row) for row in rows)
    if grid.is_oblique:
        return [Fault("oblique-direction", found)]
    return []


def _default_geometry(grid: Grid) -> list[Fault]:
    """Voxels of 1 mm that begin at 0: what libraries write where nobody gave them a geometry."""
    unset = grid.spacing_mm == (1.0, 1.0, 1.0) and not any(grid.origin_mm) and not grid.is_oblique
    return [Fault("default-geometry", str(grid))] if unset else []


def _image_faults(voxels: np.ndarray, job: FileJob) -> list[Fault]:
    faults = []
    if voxels.dtype.kind == "f":
        finite = np.isfinite(voxels)
        bad = voxels.size - int(np.count_nonzero(finite))
        if bad:
            faults.append(Fault("non-finite-voxels", f"{bad} of {voxels.size} voxels are NaN or infinite"))
            voxels = voxels[finite]
    rule = INTENSITY_RULES.get(unit_of(job.kind))
    if rule is not None and voxels.size:
        faults += rule(voxels, air_in_view=job.air_in_view)
    if rule is None and voxels.size and looks_like_ct(voxels):
        found = f"values from {voxels.min():g} to {voxels.max():g}, as of CT, under the name {job.kind!r}"
        faults.append(Fault("unnamed-ct", found))
    return faults


def _mask_faults(voxels: np.ndarray, values: Sequence[int], grid: Grid) -> tuple[list[Fault], np.ndarray | None]:
    """Faults, and the (2, 3) bounds of the voxels with one of ``values``."""
    faults = []
    present = sorted({value for plane in voxels for value in np.unique(plane).tolist()})
    unknown = [f"{value:g}" for value in present if value not in (0, *values)]
    allowed = ", ".join(map(str, (0, *values)))
    if unknown:
        faults.append(Fault("unknown-label", f"the values {listed(unknown)}", expected=f"the values {allowed}"))
    foreground = np.isin(voxels, values)
    share = float(foreground.mean())
    if share == 0:
        # where all that is there has an unknown value, that row says it
        return faults or [Fault("empty-mask", "no labelled voxel")], None
    if share > MASK_MAX_SHARE:
        faults.append(Fault("mask-covers-image", f"{share:.0%} of the voxels are labelled"))
    ends = [
        np.flatnonzero(foreground.any(axis=tuple(other for other in range(3) if other != axis)))[[0, -1]]
        for axis in (2, 1, 0)
    ]  # array axes are (z, y, x)
    lower, upper = np.array(ends).T
    return faults, grid.bounds_mm(lower, upper)


def _digest(voxels: np.ndarray) -> str:
    digest = hashlib.blake2b(repr(voxels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(voxels, dtype=np.float32).data)
    return digest.hexdigest()
