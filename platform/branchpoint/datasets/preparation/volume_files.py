"""Volumes through SimpleITK: reading, and the grid they lie on."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.datasets.files import printable, unreadable_reason

MAX_BYTES = 4 * 1024**3
"""Voxels of the largest file that is read: 512 x 512 x 4096 in single precision."""
SHEAR_TOLERANCE = 0.01
"""Direction cosines that are off by rounding: half a millimetre over 50 mm at most."""
_BEST_COMPRESSION = 1100
"""Deflate packs at most 1032 bytes into one."""
GRID_TOLERANCE_MM = 0.1
"""Headers round: corners closer than a tenth of a millimetre are one place in any clinical scan."""
_HEADER_BYTES = 10_000
OBLIQUE_TOLERANCE = 1e-3
"""Direction cosines closer than this to 0 or 1 are straight: 0.06 degrees, half a millimetre over 500 mm."""


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume lie: sizes, spacing and origin in (x, y, z), millimetres; direction row by row."""

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    @cached_property
    def matrix(self) -> np.ndarray:
        """Index (x, y, z) to millimetres: ``origin + matrix @ index``; (n, n)."""
        n = len(self.size)
        return np.array(self.direction).reshape(n, n) * np.array(self.spacing_mm)

    def to_mm(self, index: np.ndarray) -> np.ndarray:
        """Physical points (k, n) of the voxel indices (k, n), in (x, y, z)."""
        return np.asarray(index, dtype=float) @ self.matrix.T + np.array(self.origin_mm)

    def bounds_mm(self, lower: np.ndarray | None = None, upper: np.ndarray | None = None) -> np.ndarray:
        """(2, n): lowest and highest coordinates of the voxels from index ``lower`` to ``upper``; by default all.

        Outer faces, not centres.
        """
        first = np.zeros(len(self.size)) if lower is None else lower
        last = np.array(self.size) - 1 if upper is None else upper
        ends = np.stack([np.asarray(first) - 0.5, np.asarray(last) + 0.5])
        corners = np.stack(np.meshgrid(*ends.T), axis=-1).reshape(-1, len(self.size))
        points = self.to_mm(corners)
        return np.stack([points.min(axis=0), points.max(axis=0)])

    def same_as(self, other: Grid) -> bool:
        """Whether both have the same size and their corners agree within ``GRID_TOLERANCE_MM``."""
        if self.size != other.size:
            return False
        ends = np.stack([np.zeros(len(self.size)), np.array(self.size) - 1.0])
        corners = np.stack(np.meshgrid(*ends.T), axis=-1).reshape(-1, len(self.size))
        return bool(np.abs(self.to_mm(corners) - other.to_mm(corners)).max() <= GRID_TOLERANCE_MM)

    @property
    def is_oblique(self) -> bool:
        """Whether an axis is not parallel to one of the scanner's."""
        cosines = np.abs(np.array(self.direction))
        return bool(np.any((cosines > OBLIQUE_TOLERANCE) & (cosines < 1 - OBLIQUE_TOLERANCE)))

    def __str__(self) -> str:
        size = " x ".join(map(str, self.size))
        spacing = " x ".join(f"{value:.3g}" for value in self.spacing_mm)
        origin = ", ".join(f"{value:.2f}" for value in self.origin_mm)
        return f"{size} voxels of {spacing} mm at ({origin})"


def read_image(path: Path) -> Any:
    """The ``SimpleITK.Image`` of a file.

    SimpleITK fills up truncated NIfTI files without a word; :mod:`branchpoint.datasets.checks.headers` finds them.

    Raises:
        ValueError: the file is absent or not a regular file, declares more than ``MAX_BYTES`` of voxels, or SimpleITK
            cannot read it; the message names the file.
    """
    import SimpleITK as sitk

    if reason := unreadable_reason(path):
        raise ValueError(f"{printable(str(path))}: {reason}; restore it or leave the patient out")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        require_size(path, reader)
        return reader.Execute()
    except RuntimeError as problem:
        reason = str(problem).strip().splitlines()[-1].removeprefix("ITK ERROR: ").removeprefix("sitk::ERROR: ")
        if path.name.lower().endswith((".nii", ".nii.gz")) and ("orthonormal" in reason or _is_nifti2(path)):
            return _by_nibabel(path)
        raise ValueError(f"{path}: SimpleITK cannot read it: {reason}") from problem


def require_size(path: Path, reader: Any) -> None:
    """Refuse a header that declares more than ``MAX_BYTES``, or more than an uncompressed file can hold."""
    import SimpleITK as sitk

    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    bits = next((int(number) for number in re.findall(r"\d+", kind)), 64)
    count = math.prod(reader.GetSize()) * max(1, reader.GetNumberOfComponents())
    if count * bits // 8 > MAX_BYTES:
        sizes = " x ".join(map(str, reader.GetSize()))
        raise ValueError(
            f"{path}: its header declares {sizes} voxels of {bits} bits, more than {MAX_BYTES >> 30} GiB; "
            "check the header"
        )
    held = sum(file.stat().st_size for file in (path, *data_files(path)) if file.is_file())
    if count * bits // 8 > held * _BEST_COMPRESSION:
        raise ValueError(f"{path}: {held} bytes cannot hold the {count * bits // 8} that its header declares")


def _is_nifti2(path: Path) -> bool:
    """Whether the file is of the second version of the format, which SimpleITK does not know."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            size = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return 540 in (int.from_bytes(size, "little"), int.from_bytes(size, "big"))


def _by_nibabel(path: Path) -> Any:
    """A NIfTI-2 file, or one whose axes are almost at right angles, with the nearest directions that are.

    Raises:
        ValueError: the axes are off by more than ``SHEAR_TOLERANCE``, or there are not three.
    """
    import nibabel
    import SimpleITK as sitk

    image: Any = nibabel.load(path)
    if image.ndim != 3 or math.prod(image.shape) * image.get_data_dtype().itemsize > MAX_BYTES:
        raise ValueError(f"{path}: a volume of {' x '.join(map(str, image.shape))}; a scan has three axes")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine  # NIfTI's axes point right and to the front
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    direction = left @ right
    shear = np.abs(direction - affine[:3, :3] / spacing).max()
    if not shear <= SHEAR_TOLERANCE:
        raise ValueError(
            f"{path}: its axes are not at right angles (off by {shear:.2g}); resample it to a grid with axes at right "
            "angles"
        )
    volume = sitk.GetImageFromArray(np.asanyarray(image.dataobj).T)
    volume.SetSpacing(spacing.tolist())
    volume.SetOrigin(affine[:3, 3].tolist())
    volume.SetDirection(direction.ravel().tolist())
    return volume


def grid_of(image: Any) -> Grid:
    """The grid of a ``SimpleITK.Image``."""
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def image_on(values: np.ndarray, grid: Grid) -> Any:
    """The ``SimpleITK.Image`` of ``values`` (D, H, W) on ``grid``."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(values)
    image.SetOrigin(grid.origin_mm)
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection(grid.direction)
    return image


def data_files(path: Path) -> list[Path]:
    """The files that hold the voxels where ``path`` is a header alone: MetaImage ``.mhd``, ``.nhdr``, ``.hdr``."""
    suffix = path.suffix.lower()
    if suffix == ".hdr":
        return [path.with_suffix(".img")]
    named = {".mhd": r"^ElementDataFile\s*=\s*(\S.*?)\s*$", ".nhdr": r"^data ?file:\s*(\S.*?)\s*$"}.get(suffix)
    if named is None or not path.is_file():
        return []
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES).decode("latin-1")
    found = re.search(named, head, re.MULTILINE | re.IGNORECASE)
    return [path.with_name(found[1])] if found and found[1] not in ("LOCAL", "LIST") else []
