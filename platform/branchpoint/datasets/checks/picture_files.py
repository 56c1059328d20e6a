"""Reads one picture, volume of slices, or mask completely and judges it by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.datasets.checks.files import fault_rows
from branchpoint.datasets.checks.headers import Fault, is_nifti, nifti_faults
from branchpoint.datasets.checks.metaimage import is_metaimage, metaimage_faults
from branchpoint.datasets.file_report import FileJob, FileReport, PictureReport
from branchpoint.datasets.files import listed, unreadable_reason
from branchpoint.datasets.preparation.image_files import (
    is_volume,
    open_picture,
    orientation_of,
    read_volume,
    stored_values,
)
from branchpoint.datasets.preparation.volume_files import data_files

NARROW = 0.26
"""Share of the range that pictures of 14 bits in 16 fill; they come out nearly black, or nearly of one grey."""
BULK = 5e-3
"""Share of the values at either end that may be saturated pixels."""
_PHOTOMETRIC = 262
FEWEST_LEVELS = 24
"""Grey levels of the poorest real picture: more; of a label map, which may stand in a picture's place: fewer."""
MOST_UNKNOWN = 16
"""A mask with more values that mean nothing is a picture in a mask's place."""


def inspect_picture(job: FileJob) -> FileReport:
    """Read one file and judge it by itself; whatever goes wrong becomes a row."""
    try:
        return _inspect(job)
    except Exception as failure:
        return _report(job, [Fault("reader-crashed", f"{job.path}: {type(failure).__name__}: {failure}")])


def _inspect(job: FileJob) -> PictureReport:
    faults = _file_faults(job.path)
    if faults:
        return _report(job, faults)
    try:
        picture = None if is_volume(job.path) else open_picture(job.path)
        volume = read_volume(job.path) if picture is None else None
    except ValueError as failure:
        rule = "truncated-file" if "truncated" in str(failure) else "unreadable-file"
        return _report(job, [Fault(rule, str(failure), expected="a file that Pillow or SimpleITK can read")])
    if job.kind != "mask":
        pixels = volume if picture is None else np.asarray(_plain(picture))
        return _image_report(job, pixels, [] if picture is None else _stored_faults(job.path, picture))
    try:
        values = volume if picture is None else stored_values(picture, job.path)
    except ValueError as failure:
        return _report(job, [Fault("not-a-mask", str(failure))])
    assert values is not None
    return _mask_report(job, values)


def _file_faults(path: Path) -> list[Fault]:
    """Faults that leave nothing to read."""
    for part in (path, *data_files(path)):
        if reason := unreadable_reason(part):
            return [Fault("missing-file", reason, expected=f"the file {part}")]
        if not part.stat().st_size:
            return [Fault("truncated-file", f"{part}: an empty file")]
    if is_nifti(path):
        fatal = ("truncated-file", "unreadable-file", "too-large")
        return [fault for fault in nifti_faults(path) if fault.rule in fatal]
    return metaimage_faults(path) if is_metaimage(path) else []


def _plain(picture: Any) -> Any:
    """The picture in colours, greys or deep greys, without palette and transparency."""
    return picture if picture.mode.startswith(("I", "F")) or picture.mode == "L" else picture.convert("RGB")


def _stored_faults(path: Path, picture: Any) -> list[Fault]:
    """What a file holds beside or below the 8 bits that are read: other bits, transparency, white stored as 0."""
    from PIL import Image

    faults = []
    with Image.open(path) as file:
        deep = any(";16" in str(tile[3]) for tile in file.tile)
        white_is_zero = file.format == "TIFF" and getattr(file, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    if deep and white_is_zero:
        faults.append(Fault("pixel-type", f"{path}: 16 bits with white stored as 0, which come out inverted"))
    pixels = np.asarray(_plain(picture))
    low, high = int(pixels.min()), int(pixels.max())
    if deep and pixels.dtype == np.uint8 and low != high and high - low < NARROW * 256:
        found = f"{path}: 16 bits in each channel, of which the upper 8 are read: values from {low} to {high} of 255"
        faults.append(Fault("narrow-range", found, fix="rescale the pictures to the full range, to 8 bits"))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        least, most = picture.convert("RGBA").getchannel("A").getextrema()
        if least != most:
            faults.append(Fault("transparent-image", f"{path}: parts of it are transparent"))
    return faults


def _image_report(job: FileJob, pixels: np.ndarray | None, faults: list[Fault]) -> PictureReport:
    assert pixels is not None
    planes = pixels.transpose(2, 0, 1) if pixels.ndim == 3 and not is_volume(job.path) else [pixels]
    levels = max(len(_counts(plane)) for plane in planes)
    low, high = pixels.min(), pixels.max()
    as_sixteen = pixels.dtype == np.uint16 or (pixels.dtype == np.int32 and low >= 0 and high < 1 << 16)
    if pixels.dtype != np.uint8 and not as_sixteen:
        faults.append(Fault("pixel-type", f"{job.path}: {pixels.dtype}, from {low:g} to {high:g}"))
    elif as_sixteen and low != high and (found := _narrow(pixels)):
        faults.append(Fault("narrow-range", f"{job.path}: 16 bits, but {found}"))
    elif levels == 1 and not faults:
        faults.append(Fault("constant-image", f"{job.path}: every pixel is {pixels.flat[0]}"))
    elif levels <= FEWEST_LEVELS and not faults:
        faults.append(Fault("image-is-mask", f"{job.path}: {levels} grey levels in all"))
    return _report(
        job,
        faults,
        digest=_digest(pixels),
        size=_size(job.path, pixels),
        dtype=str(pixels.dtype),
        orientation=orientation_of(job.path),
    )


def _narrow(pixels: np.ndarray) -> str:
    """Where nearly all values of 16 bits lie, if that is a small part of what they can hold."""
    low, high = (int(value) for value in (pixels.min(), pixels.max()))
    if high - low < NARROW * (1 << 16):
        return f"values from {low} to {high} only"
    least, most = (int(value) for value in np.quantile(pixels, (BULK, 1 - BULK), method="nearest"))
    return f"all but {BULK:.1%} of the values from {least} to {most}" if most - least < NARROW * (1 << 16) else ""


def _mask_report(job: FileJob, values: np.ndarray) -> PictureReport:
    counts = _counts(values)
    unknown = [f"{value:g}" for value in counts if value not in job.values]
    faults = []
    if len(unknown) > MOST_UNKNOWN and job.path.suffix.lower() not in (".jpg", ".jpeg"):
        faults.append(Fault("not-a-mask", f"{job.path}: {len(counts)} different values"))
    elif unknown:
        lossy = job.path.suffix.lower() in (".jpg", ".jpeg")
        fix = "save the mask as PNG: JPEG changes values" if lossy else None
        allowed = ", ".join(map(str, sorted(job.values)))
        faults.append(Fault("unknown-label", f"the values {listed(unknown)}", f"the values {allowed}", fix))
    plane = values if values.ndim == 2 else values[0]
    extents = {}
    for value in counts if not unknown and values.ndim == 2 else ():
        rows = np.flatnonzero((values == value).any(axis=1))
        extents[value] = (int(rows[0]), int(rows[-1]))
    return _report(
        job,
        faults,
        size=_size(job.path, values),
        dtype=str(values.dtype),
        orientation=orientation_of(job.path),
        digest=_digest(values),
        rows=extents,
        counts=counts,
        corners=tuple(int(plane[y, x]) for y in (0, -1) for x in (0, -1)),
    )


def _counts(values: np.ndarray) -> dict[int, int]:
    """Value to pixels; slice by slice, for volumes are large."""
    if values.dtype not in (np.uint8, np.uint16):
        present, counts = np.unique(values, return_counts=True)
        return dict(zip(present.astype(int).tolist(), counts.tolist(), strict=True))
    total = np.zeros(np.iinfo(values.dtype).max + 1, np.int64)
    for plane in values if values.ndim == 3 else [values]:
        total += np.bincount(plane.ravel(), minlength=len(total))
    return {int(value): int(total[value]) for value in np.flatnonzero(total)}


def _size(path: Path, pixels: np.ndarray) -> tuple[int, ...]:
    return pixels.shape[::-1] if is_volume(path) else (pixels.shape[1], pixels.shape[0])


def _digest(pixels: np.ndarray) -> str:
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels, np.int64 if pixels.dtype.itemsize > 2 else np.uint16).data)
    return digest.hexdigest()


def _report(job: FileJob, faults: Iterable[Fault], **findings: Any) -> PictureReport:
    return PictureReport(job, fault_rows(job, faults), **findings)
