"""Headers of the DICOM files below a folder, read with pydicom; pixels stay unread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from branchpoint.deploy.errors import CaseError

Header = Any
"""A pydicom.Dataset without pixel data."""

IMAGE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
}
"""SOP classes of single-frame slices to their modality."""

MULTIFRAME_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
}
"""SOP classes that hold many slices in one file (enhanced and legacy converted enhanced images)."""


@dataclass(frozen=True)
class Instance:
    """One DICOM file.

    Attributes:
        path: the file.
        header: everything before the pixel data.
        truncated: the file ends before its pixel data do.
    """

    path: Path
    header: Header
    truncated: bool

    def text(self, keyword: str) -> str:
        """The value of ``keyword`` as text, ``""`` where it is absent or empty."""
        value = self.header.get(keyword)
        return "" if value is None else str(value).strip()

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """``count`` numbers, or ``None`` where the element is absent, empty or of another length."""
        try:
            value = self.header.get(keyword)
            values = tuple(float(part) for part in (value if count > 1 else [value]))
        except (TypeError, ValueError):
            return None
        return values if len(values) == count else None

    def words(self, keyword: str) -> tuple[str, ...]:
        """The values of a multi-valued text element, in capitals; empty where it is absent."""
        value = self.header.get(keyword) or ()
        return tuple(str(part).upper() for part in ([value] if isinstance(value, str) else value))

    @property
    def frames(self) -> int:
        """Number of frames in the file."""
        value = self.numbers("NumberOfFrames", 1)
        return int(value[0]) if value else 1


def read_instances(folder: Path) -> tuple[list[Instance], list[str]]:
    """All DICOM files below ``folder`` in order of their paths, and one line for each file that is not one.

    Raises:
        CaseError: pydicom is not installed, or the folder holds no DICOM file.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found, others = [], []
    for path in files:
        instance = _read(path)
        if isinstance(instance, Instance):
            found.append(instance)
        else:
            others.append(f"{path.relative_to(folder)}: {instance}")
    if not found:
        raise CaseError(
            "no-dicom",
            f"{folder} holds {len(files)} files, none of them a DICOM image",
            "give the folder of one study, with its series below it",
        )
    return found, others


def is_dicom_folder(folder: Path) -> bool:
    """Whether any file below ``folder`` carries the DICOM prefix."""
    return any(_has_prefix(path) for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _has_prefix(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or _is_bare(start)


def _is_bare(start: bytes) -> bool:
    """Whether a file begins with the first DICOM element, without preamble and prefix, as old archives write it."""
    return start[:4] in (b"\x02\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")


def _read(path: Path) -> Instance | str:
    """The instance, or the reason why the file is none."""
    pydicom = import_pydicom()
    try:
        with path.open("rb") as file:
            bare = _is_bare(file.read(4))
            file.seek(0)
            header = pydicom.dcmread(file, stop_before_pixels=True, force=bare)
            left = path.stat().st_size - file.tell()
        for _ in header.iterall():  # decode every element now: a damaged one raises when it is looked at
            pass
    except pydicom.errors.InvalidDicomError:
        return "not a DICOM file"
    except Exception as problem:  # pydicom raises whatever a damaged header leads to
        return f"unreadable header ({type(problem).__name__}: {problem})"
    if "SOPClassUID" not in header or "SeriesInstanceUID" not in header:
        return "no image (a DICOMDIR, or a header cut short)"
    return Instance(path, header, truncated=left < _pixel_bytes(header))


def _pixel_bytes(header: Header) -> int:
    """Size of uncompressed pixel data; 0 where they are compressed, or where the file holds no picture."""
    try:
        if header.file_meta.TransferSyntaxUID.is_deflated:  # all of it was read to see any of it
            return 0
        if header.file_meta.TransferSyntaxUID.is_compressed:
            return 1 if "Rows" in header else 0
        frames = int(header.get("NumberOfFrames") or 1)
        bits = header.Rows * header.Columns * header.get("SamplesPerPixel", 1) * header.BitsAllocated * frames
    except (AttributeError, TypeError, ValueError):
        return 0
    return int(bits) // 8


def import_pydicom() -> Any:
    """The library.

    Raises:
        CaseError: it is not installed; the message names the extra.
    """
    try:
        import pydicom
    except ImportError:
        raise CaseError(
            "missing-package", "DICOM needs pydicom, which is not installed", 'pip install "branchpoint[deploy]"'
        ) from None
    return pydicom
