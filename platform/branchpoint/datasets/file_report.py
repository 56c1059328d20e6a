"""One file to read, and the findings in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from branchpoint.datasets.preparation.volume_files import Grid
from branchpoint.datasets.problems.problem import Problem


@dataclass(frozen=True)
class FileJob:
    """One file to read.

    Attributes:
        patient: whom rows are about.
        task: modality or label concerned.
        path: the file.
        kind: modality of an image, ``picture``, or ``mask``.
        values: stored values that a mask may have.
        air_in_view: whether a CT must show air.
    """

    patient: str
    task: str
    path: Path
    kind: str
    values: tuple[int, ...] = ()
    air_in_view: bool = True


@dataclass(frozen=True)
class FileReport:
    """The findings in one file.

    Attributes:
        problems: rows of what is wrong with it.
        grid: of a volume; ``None`` where the file could not be read.
        digest: hash of size and voxels; equal for equal content whatever the compression and header.
        foreground_mm: (2, 3) bounds of the labelled voxels of a mask, in (x, y, z).
        typical_uptake: of PET: the median over the body.
    """

    job: FileJob
    problems: list[Problem] = field(default_factory=list)
    grid: Grid | None = None
    digest: str | None = None
    foreground_mm: np.ndarray | None = None
    typical_uptake: float | None = None


@dataclass(frozen=True)
class PictureReport(FileReport):
    """The findings in one picture, or volume of slices.

    Attributes:
        size: (width, height), and slices of a volume; ``None`` where the file could not be read.
        dtype: of the pixels.
        counts: of a mask: stored value to pixels.
        corners: of a mask: stored values of the four corners.
        rows: of a mask: stored value to its first and last row.
        orientation: EXIF orientation, from 1 (stored upright) to 8.
    """

    size: tuple[int, ...] | None = None
    dtype: str = ""
    counts: Mapping[int, int] = field(default_factory=dict)
    corners: tuple[int, ...] = ()
    rows: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    orientation: int = 1
