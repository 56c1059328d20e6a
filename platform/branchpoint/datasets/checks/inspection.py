"""Reading every file of a cohort completely, each by itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.datasets.checks.headers import Fault, is_nifti, nifti_faults
from branchpoint.datasets.checks.intensities import INTENSITY_RULES
from branchpoint.datasets.checks.processes import map_in_processes
from branchpoint.datasets.files import listed
from branchpoint.datasets.preparation.volume_files import Grid, grid_of, read_image
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem

MASK_MAX_SHARE = 0.5
"""A tumour fills less than half of any volume; a mask that fills more has background and tumour exchanged."""


@dataclass(frozen=True)
class FileJob:
    """One file to read: an image of modality ``kind``, or a mask (``kind`` is ``mask``) with its allowed ``values``."""

    patient: str
    task: str
    path: Path
    kind: str
    values: tuple[int, ...] = ()
    air_in_view: bool = True


@dataclass(frozen=True)
class FileReport:
    """What was found in one file.

    Attributes:
        grid: ``None`` where the file could not be read.
        digest: hash of size and voxels; equal for equal content whatever the compression and header.
        foreground_mm: (2, 3) bounds of the labelled voxels of a mask, in (x, y, z).
    """

    job: FileJob
    problems: list[Problem] = field(default_factory=list)
    grid: Grid | None = None
    digest: str | None = None
    foreground_mm: np.ndarray | None = None


def inspect_file(job: FileJob) -> FileReport:
    """Read one file, header, bytes and voxels, and judge it by itself; whatever goes wrong becomes a row."""
    try:
        return _inspect(job)
    except Exception as failure:
        return _report(job, [Fault("reader-crashed", f"{job.path}: {type(failure).__name__}: {failure}")])


def _inspect(job: FileJob) -> FileReport:
    if not job.path.is_file():
        return _report(job, [Fault("missing-file", "no such file", expected=str(job.path))])
    faults = nifti_faults(job.path) if is_nifti(job.path) else []
    if any(fault.rule in ("truncated-file", "unreadable-file", "bad-spacing") for fault in faults):
        return _report(job, faults)
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what it would warn of stands in the rows
    try:
        image = read_image(job.path)
    except ValueError as failure:
        return _report(job, [Fault("unreadable-file", str(failure))])
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        found = f"{image.GetDimension()} dimensions {image.GetSize()}, {image.GetNumberOfComponentsPerPixel()} channels"
        return _report(job, [Fault("wrong-dimensions", found)])
    grid = grid_of(image)
    voxels = sitk.GetArrayViewFromImage(image)
    faults += _direction_faults(grid)
    foreground = None
    if job.kind == "mask":
        mask_faults, foreground = _mask_faults(voxels, job.values, grid)
        faults += mask_faults
    else:
        faults += _image_faults(voxels, job)
    digest = None if job.kind == "mask" else _digest(voxels)
    return _report(job, faults, grid=grid, digest=digest, foreground_mm=foreground)


def _report(job: FileJob, faults: Iterable[Fault], **findings: Any) -> FileReport:
    rows = [
        problem(fault.rule, job.patient, job.task, fault.found, expected=fault.expected, fix=fault.fix)
        for fault in faults
    ]
    return FileReport(job, rows, **findings)


def _direction_faults(grid: Grid) -> list[Fault]:
    rows = np.array(grid.direction).reshape(len(grid.size), -1)
    found = "direction " + "; ".join(" ".join(f"{value:.3g}" for value in row) for row in rows)
    if grid.is_oblique:
        return [Fault("oblique-direction", found)]
    return [Fault("flipped-direction", found)] if grid.is_flipped else []


def _image_faults(voxels: np.ndarray, job: FileJob) -> list[Fault]:
    faults = []
    if voxels.dtype.kind == "f":
        finite = np.isfinite(voxels)
        bad = voxels.size - int(np.count_nonzero(finite))
        if bad:
            faults.append(Fault("non-finite-voxels", f"{bad} of {voxels.size} voxels are NaN or infinite"))
            voxels = voxels[finite]
    if job.kind in INTENSITY_RULES and voxels.size:
        faults += INTENSITY_RULES[job.kind](voxels, air_in_view=job.air_in_view)
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


def inspect_files(
    jobs: Sequence[FileJob],
    *,
    workers: int = 0,
    progress: bool = False,
    inspect: Callable[[FileJob], FileReport] = inspect_file,
) -> list[FileReport]:
    """Inspect all ``jobs``, in their order.

    ``workers`` processes, 0 for one on each core; a process that dies (a crash in a decoder, memory) becomes a row of
    the file that killed it. With 1 all is done in this process, which a crash then ends.
    """
    workers = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    done: Iterable[tuple[int, FileReport]]
    if workers <= 1:
        done = ((i, inspect(job)) for i, job in enumerate(jobs))
    else:
        done = map_in_processes(inspect, jobs, _crashed, workers=workers)
    if progress and jobs:
        from rich.console import Console
        from rich.progress import track

        done = track(done, description="reading files", total=len(jobs), console=Console(stderr=True))
    reports = dict(done)
    return [reports[i] for i in range(len(jobs))]


def _crashed(job: FileJob) -> FileReport:
    return _report(job, [Fault("reader-crashed", f"the process that read {job.path} died")])
