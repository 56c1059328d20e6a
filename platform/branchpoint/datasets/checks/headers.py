"""Faults of NIfTI files that SimpleITK passes over (2.5): it fills a truncated volume with zeros or garbage, ignores a
wrong checksum, turns a spacing of zero or NaN into 1 mm, and voxels of NaN or infinity into 0."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from branchpoint.datasets.preparation.volume_files import MAX_BYTES

SPACING_RANGE_MM = (0.02, 100.0)
"""From micro-CT to the coarsest scintigraphy. Outside, the unit is another one (m, micrometre) or lost."""
USUAL_SPACING_MM = (0.1, 15.0)
"""Clinical CT and PET: 0.3 mm in plane to 10 mm slices."""
LEAST_SLOPE = 1e-12
"""A smaller scl_slope turns every stored value into zero."""
SPARE_BYTES = 64 * 1024**2
"""A file that goes on for longer than this behind its voxels is not what its header says."""
FORM_TOLERANCE_MM = 1.0
"""Two geometries in one header that put a corner further apart than this give different images in different viewers."""
_CHUNK = 1 << 22
_LFS = b"version https://git-lfs"
_UNITS = {1: "metres", 3: "micrometres"}
"""Codes of xyzt_units that SimpleITK applies to spacings but not to origins."""


class Fault(NamedTuple):
    """A breach of a rule by one file; ``expected`` and ``fix`` replace the rule's own text where given."""

    rule: str
    found: str
    expected: str | None = None
    fix: str | None = None


def is_nifti(path: Path) -> bool:
    """Whether the file's name says NIfTI."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def nifti_faults(path: Path) -> list[Fault]:
    """Read a NIfTI file's every byte, checksum included, and judge its header; the fatal fault comes alone."""
    from nibabel.spatialimages import HeaderDataError

    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            return _stream_faults(gzip.GzipFile(fileobj=raw) if zipped else raw, path)  # type: ignore[arg-type]
    except EOFError:
        return [Fault("truncated-file", f"{path} ends inside its compressed data ({path.stat().st_size} bytes)")]
    except (OSError, zlib.error) as problem:  # gzip.BadGzipFile is an OSError
        return [Fault("unreadable-file", f"{path}: {problem}")]
    except KeyError as problem:
        return [Fault("unreadable-file", f"{path}: the header is damaged: NIfTI knows no code {problem}")]
    except (ValueError, OverflowError, HeaderDataError) as problem:
        return [Fault("unreadable-file", f"{path}: the header is damaged: {problem}")]


def _stream_faults(stream: BinaryIO, path: Path) -> list[Fault]:
    block = stream.read(540)
    length = len(block)
    header = _header(block)
    if header is None:
        what = "an empty file" if not length else f"no NIfTI header{_other_kind(block)}"
        if block.startswith(_LFS):
            return [Fault("unreadable-file", f"{path}: {what}", fix="fetch the file itself: `git lfs pull`")]
        return [Fault("truncated-file" if length < 348 else "unreadable-file", f"{path}: {what}")]
    if why := _signature_fault(header, block, path):
        return [Fault("unreadable-file", f"{path}: {why}")]
    dim = header["dim"].astype(int)
    shape = dim[1 : 1 + max(0, min(dim[0], 7))]
    if len(shape) == 0 or shape.min() < 1:
        return [Fault("unreadable-file", f"{path}: the header gives the sizes {shape.tolist()}")]
    offset, count = max(int(header["vox_offset"]), len(header.binaryblock)), math.prod(shape.tolist())
    needed = offset + count * header.get_data_dtype().itemsize
    if needed - offset > MAX_BYTES:
        sizes = " x ".join(map(str, shape.tolist()))
        return [Fault("too-large", f"{path}: {sizes} voxels in the header", expected=f"at most {MAX_BYTES >> 30} GiB")]
    length, non_finite = _read_voxels(stream, block, offset, header, needed + SPARE_BYTES)
    if length > needed + SPARE_BYTES:
        return [Fault("too-large", f"{path}: goes on behind its voxels", expected=f"{needed} bytes")]
    if length < needed:
        return [Fault("truncated-file", f"{path}: {length} of {needed} bytes")]
    spacing_faults = _spacing_faults(header, len(shape))
    if any(fault.rule != "unusual-spacing" for fault in spacing_faults):
        return spacing_faults
    faults = [*spacing_faults, *_scaling_faults(header), *_form_faults(header, shape)]
    if non_finite:
        faults.append(Fault("non-finite-voxels", f"{non_finite} of {count} voxels are NaN or infinite"))
    return faults


def _other_kind(block: bytes) -> str:
    """For a message: what a file that is no NIfTI is instead."""
    kinds = {_LFS: "a pointer of Git LFS", b"<": "a web page", b"PK": "a zip archive", b"NRRD": "NRRD"}
    found = next((kind for start, kind in kinds.items() if block.lstrip().startswith(start)), "")
    found = "DICOM" if block[128:132] == b"DICM" else found
    return f", but {found}" if found else ""


def _signature_fault(header: Any, block: bytes, path: Path) -> str:
    """Why the header is not that of a NIfTI file of one part, or ``""``."""
    magic = bytes(header["magic"].tobytes()[:4])
    if magic[:3] in (b"ni1", b"ni2"):
        return "its header says that the voxels lie in another file (.img); save it as one file"
    if magic[:3] not in (b"n+1", b"n+2"):
        return f"no NIfTI file: its signature is {magic!r}"
    little = int.from_bytes(block[:4], "little") in (348, 540)
    if header.endianness != ("<" if little else ">"):
        return "the header mixes byte orders"
    return ""


def _scaling_faults(header: Any) -> list[Fault]:
    """A slope or intercept that leaves no values; slope 0, or both NaN, means that there is no scaling."""
    if "scl_slope" not in header.keys():  # noqa: SIM118 (a numpy record)
        return []
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    unset = slope == 0 or (math.isnan(slope) and (math.isnan(intercept) or intercept == 0))
    if unset or (math.isfinite(slope) and math.isfinite(intercept) and slope >= LEAST_SLOPE):
        return []
    return [Fault("bad-scaling", f"scl_slope {slope:g}, scl_inter {intercept:g}")]


def _read_voxels(stream: BinaryIO, block: bytes, offset: int, header: Any, most: int) -> tuple[int, int]:
    """Bytes of the whole file, read to the end or to ``most``, and its voxels that are NaN or infinite."""
    dtype = header.get_data_dtype()
    block += stream.read(max(offset - len(block), 0))
    length, non_finite = len(block), 0
    data = block[offset:]
    while length <= most:
        chunk = stream.read(_CHUNK)
        length += len(chunk)
        data += chunk
        whole = len(data) // dtype.itemsize * dtype.itemsize
        if dtype.kind in "fc":
            non_finite += int(np.count_nonzero(~np.isfinite(np.frombuffer(data[:whole], dtype))))
        data = data[whole:]
        if not chunk:
            break
    return length, non_finite


def _header(block: bytes) -> Any:
    """The nibabel header that a file starts with, of either byte order and version; ``None`` where there is none."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    for size, kind in ((348, Nifti1Header), (540, Nifti2Header)):
        if len(block) >= size and size in (int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")):
            header = kind(block[:size], check=False)
            return header if header.get_data_dtype().itemsize else None
    return None


def _spacing_faults(header: Any, dimensions: int) -> list[Fault]:
    spacing = np.abs(header["pixdim"][1 : 1 + min(dimensions, 3)].astype(float))  # a negative one means a flip
    found = spacing_text(spacing)
    unit = _UNITS.get(int(header["xyzt_units"]) & 7)
    if unit:
        return [Fault("bad-units", f"{found.replace(' mm', '')}, in {unit}")]
    return spacing_faults(spacing)


def spacing_text(spacing: np.ndarray) -> str:
    """For a message."""
    return "spacing " + " x ".join(f"{value:g}" for value in spacing) + " mm in the header"


def spacing_faults(spacing: np.ndarray) -> list[Fault]:
    """Of a spacing in mm, along each axis."""
    found = spacing_text(spacing)
    if not np.all(np.isfinite(spacing)) or spacing.min() < SPACING_RANGE_MM[0] or spacing.max() > SPACING_RANGE_MM[1]:
        return [Fault("bad-spacing", found)]
    usual = spacing.min() >= USUAL_SPACING_MM[0] and spacing.max() <= USUAL_SPACING_MM[1]
    return [] if usual else [Fault("unusual-spacing", found)]


def _form_faults(header: Any, shape: np.ndarray) -> list[Fault]:
    """NaN in the geometry, and a qform and sform that disagree: SimpleITK takes one, another viewer the other."""
    values = np.concatenate([header[f"srow_{axis}"] for axis in "xyz"]) if header["sform_code"] > 0 else np.zeros(0)
    if header["qform_code"] > 0:
        values = np.concatenate(
            [values, *([header[f"quatern_{a}"], header[f"qoffset_{b}"]] for a, b in ("bx", "cy", "dz"))]
        )
    if not np.all(np.isfinite(values)):
        return [Fault("bad-spacing", "NaN or infinity in the header's geometry", expected="finite numbers")]
    if header["sform_code"] <= 0 or len(shape) < 3:
        return []
    sform = header.get_sform()
    norms = np.linalg.norm(sform[:3, :3], axis=0)
    spacing = np.abs(header["pixdim"][1:4].astype(float))
    if norms.min() < SPACING_RANGE_MM[0]:
        found = "the sform's spacing is " + " x ".join(f"{value:.3g}" for value in norms) + " mm"
        return [Fault("bad-spacing", found)]
    if not np.allclose(norms, spacing, rtol=1e-2):
        found = "the sform's spacing is " + " x ".join(f"{value:.3g}" for value in norms) + " mm, pixdim's is "
        return [Fault("header-conflict", found + " x ".join(f"{value:.3g}" for value in spacing) + " mm")]
    if header["qform_code"] <= 0:
        return []
    corner = np.array([*(shape[:3] - 1), 1.0])
    apart = max(
        np.abs((sform - header.get_qform()) @ point).max() for point in (corner, np.array([0.0, 0.0, 0.0, 1.0]))
    )
    if apart <= FORM_TOLERANCE_MM:
        return []
    return [Fault("header-conflict", f"qform and sform place the volume up to {apart:.1f} mm apart")]
