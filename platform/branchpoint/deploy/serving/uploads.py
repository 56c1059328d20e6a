"""What people send: names that stay below one folder, limits on size, archives unpacked with both in force."""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from branchpoint.datasets.preparation.image_files import is_picture, is_volume
from branchpoint.deploy.errors import CaseError

GIB = 2**30
_CHUNK = 2**20
_LONGEST_NAME, _DEEPEST = 200, 16
_BYTES_PER_VOXEL = 4


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one study may take; also once unpacked and decoded.

    Attributes:
        bytes: of its files, of what they hold unpacked, and of its voxels in memory.
        files: how many.
    """

    bytes: int = 4 * GIB
    files: int = 20_000


def safe_parts(name: str) -> tuple[str, ...]:
    """The components of a relative path from a stranger, with / or \\.

    Raises:
        CaseError: the path leaves its folder, is hidden, too deep or too long, or has control characters.

    Example:
        >>> safe_parts("study/series 1/0001.dcm")
        ('study', 'series 1', '0001.dcm')
    """
    parts = tuple(name.replace("\\", "/").split("/"))
    bad = (
        not name
        or len(parts) > _DEEPEST
        or any(
            not part.strip() or part.startswith(".") or len(part.encode()) > _LONGEST_NAME or not part.isprintable()
            for part in parts
        )
        or ":" in name
    )
    if bad:
        raise CaseError("file-name", f"a file has the name {name[:80]!r}", "rename it: letters, digits, no leading dot")
    return parts


def place_below(folder: Path, name: str) -> Path:
    """Where a file of that name lies below ``folder``; its folder is made.

    Raises:
        CaseError: as :func:`safe_parts`, or a file of that name is there.
    """
    path = folder.joinpath(*safe_parts(name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise CaseError("file-name", "a file and a folder have one name", "rename one of them") from None
    if path.exists():
        raise CaseError("file-name", f"two files have the name {path.name!r}", "rename one of them")
    return path


def too_large(limits: Limits) -> CaseError:
    """More bytes than one study may have."""
    return CaseError(
        "too-large",
        f"the study takes more than {limits.bytes / GIB:g} GiB",
        "give the series that are needed alone, or start the server with a larger --max-gib",
    )


def unpack_archives(folder: Path, limits: Limits) -> None:
    """Unpack each .zip below ``folder`` in its place, once: archives within archives stay as they are.

    What is counted are the bytes that come out, not those the archive states.

    Raises:
        CaseError: an archive is damaged, encrypted, holds a link or a bad name, or goes beyond ``limits``.
    """
    archives = sorted(path for path in folder.rglob("*") if path.is_file() and zipfile.is_zipfile(path))
    left = limits.bytes - sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    count = 0
    for number, archive in enumerate(archives):
        out = archive.with_name(f"archive-{number}")
        try:
            with zipfile.ZipFile(archive) as opened:
                members = [one for one in opened.infolist() if not one.is_dir() and not _is_clutter(one.filename)]
                count += len(members)
                if count > limits.files:
                    raise CaseError("too-many-files", f"more than {limits.files} files", "give the series needed alone")
                for member in members:
                    left -= _unpack(opened, member, out, left, limits)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, OSError, EOFError) as problem:
            raise CaseError("damaged-archive", f"the archive cannot be unpacked: {problem}", "pack it again") from None
        archive.unlink()


def _is_clutter(name: str) -> bool:
    """Files that operating systems leave in archives."""
    return any(part == "__MACOSX" or (part.startswith(".") and part not in ("..", ".")) for part in name.split("/"))


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, out: Path, left: int, limits: Limits) -> int:
    """Unpack one file; gives its size."""
    if member.flag_bits & 1:
        raise CaseError("encrypted-archive", "the archive is encrypted", "unpack it first")
    if (member.external_attr >> 16) & 0o170000 == 0o120000:
        raise CaseError("damaged-archive", "the archive holds a link", "pack the files themselves")
    written = 0
    with opened.open(member) as source, place_below(out, member.filename).open("wb") as target:
        while part := source.read(_CHUNK):
            written += len(part)
            if written > left:
                raise too_large(limits)
            target.write(part)
    return written


def check_sizes(folder: Path, limits: Limits) -> None:
    """Refuse files that are small on disk and large in memory, before any is decoded.

    Raises:
        CaseError: voxels or decompressed bytes go beyond ``limits``.
    """
    total = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        unzipped = _unzipped_bytes(path, limits.bytes) if path.suffix.lower() == ".gz" else 0
        total += max(_decoded_bytes(path), unzipped)
        if total > limits.bytes:
            raise too_large(limits)


def _unzipped_bytes(path: Path, most: int) -> int:
    size = 0
    try:
        with gzip.open(path) as file:
            while size <= most and (part := file.read(_CHUNK)):
                size += len(part)
    except (OSError, EOFError, zlib.error):
        pass  # damaged: the reader of the file says so
    return size


def _decoded_bytes(path: Path) -> int:
    """Bytes of the voxels that the header promises; 0 where none can be read: its reader says what is wrong."""
    shape_of = _volume_shape if is_volume(path) else _picture_shape if is_picture(path) else _dicom_shape
    try:
        return prod(shape_of(path)) * _BYTES_PER_VOXEL
    except Exception:  # each library raises its own errors for what it cannot read
        return 0


def _volume_shape(path: Path) -> tuple[int, ...]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return (*reader.GetSize(), reader.GetNumberOfComponents())


def _picture_shape(path: Path) -> tuple[int, ...]:
    from PIL import Image

    with Image.open(path) as picture:
        return (*picture.size, getattr(picture, "n_frames", 1))


def _dicom_shape(path: Path) -> tuple[int, ...]:
    import pydicom

    header: Any = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns", "NumberOfFrames"])
    return int(header.Rows), int(header.Columns), int(header.get("NumberOfFrames") or 1)
