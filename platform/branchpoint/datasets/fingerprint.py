"""The fingerprint of a cohort: sizes, spacings and label frequencies, from headers and tables; no voxel is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from branchpoint.datasets.cohort import Cohort, SurvivalLabel
from branchpoint.datasets.files import unreadable_reason
from branchpoint.datasets.preparation.image_files import is_volume


@dataclass(frozen=True)
class TargetFingerprint:
    """Labels of one target.

    Attributes:
        kind: of the target.
        labelled: number of samples with a label.
        counts: number of samples of each class, by class id (classification); of censored and event, by 0 and 1
            (survival); empty for others.
    """

    kind: str
    labelled: int
    counts: Mapping[int, int]


@dataclass(frozen=True)
class CohortFingerprint:
    """A plan of a training rests on these (Isensee et al. 2021 call it the dataset fingerprint).

    Attributes:
        dimensions: 3 for volumes, 2 for pictures and slices.
        samples: number of patients or pictures.
        groups: number of groups that no split may part; ``samples`` where there are none.
        sizes: (N, dimensions) voxels of the first modality, in array order: (D, H, W) or (H, W).
        spacings_mm: (N, 3) of volumes, in the same order; of pictures empty.
        unreadable: files whose header cannot be read.
        targets: by name.
    """

    dimensions: int
    samples: int
    groups: int
    sizes: np.ndarray
    spacings_mm: np.ndarray
    unreadable: tuple[Path, ...]
    targets: Mapping[str, TargetFingerprint]

    @property
    def extents_mm(self) -> np.ndarray:
        """(N, 3) lengths of volumes along (z, y, x)."""
        return self.sizes * self.spacings_mm


def fingerprint_cohort(cohort: Cohort) -> CohortFingerprint:
    """The fingerprint of ``cohort``.

    Raises:
        ValueError: no image of the cohort has a header that can be read.
    """
    sizes, spacings, unreadable = [], [], []
    first = cohort.modalities[0]
    for path in {patient.images[first] for patient in cohort.patients if first in patient.images}:
        header = None
        if not unreadable_reason(path):  # a named pipe would be waited for
            header = _volume_header(path) if is_volume(path) else _picture_header(path)
        if header is None:
            unreadable.append(path)
            continue
        sizes.append(header[0][-cohort.dimensions :])
        spacings.append(header[1])
    if not sizes:
        raise ValueError(
            f"no image of {cohort.name} under {cohort.root} can be read; run `branchpoint check-data` first"
        )
    groups = {patient.group or patient.id for patient in cohort.patients}
    return CohortFingerprint(
        dimensions=cohort.dimensions,
        samples=len(cohort.patients),
        groups=len(groups),
        sizes=np.array(sizes),
        spacings_mm=np.array(spacings) if cohort.dimensions == 3 else np.empty((0, 3)),
        unreadable=tuple(sorted(unreadable)),
        targets={name: _target(cohort, name) for name in cohort.targets},
    )


def _target(cohort: Cohort, name: str) -> TargetFingerprint:
    labels = [patient.labels[name] for patient in cohort.patients if name in patient.labels]
    kind = cohort.targets[name]
    counts: Counter[int] = Counter()
    if kind == "classification":
        counts.update(int(label) for label in labels if isinstance(label, int))
    if kind == "survival":
        counts.update(int(label.event) for label in labels if isinstance(label, SurvivalLabel))
    return TargetFingerprint(kind, len(labels), dict(sorted(counts.items())))


Header = tuple[Sequence[int], Sequence[float]]
"""Size and spacing, in array order."""


def _volume_header(path: Path) -> Header | None:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    return reader.GetSize()[2::-1], reader.GetSpacing()[2::-1]


def _picture_header(path: Path) -> Header | None:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return (height, width), ()
