"""Faults of MetaImage files (``.mha``, ``.mhd``) of which SimpleITK gives another reason, or prints to the terminal."""

from __future__ import annotations

import math
import re
from pathlib import Path

from branchpoint.datasets.checks.headers import Fault
from branchpoint.datasets.files import unreadable_reason
from branchpoint.datasets.preparation.volume_files import MAX_BYTES, data_files

_HEAD_BYTES = 100_000
_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def is_metaimage(path: Path) -> bool:
    """Whether the file's name says MetaImage."""
    return path.suffix.lower() in (".mha", ".mhd")


def metaimage_faults(path: Path) -> list[Fault]:
    """A header that names no readable file, sizes without numbers, and voxels that are cut off."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    fields = dict(re.findall(rb"^(\w+)\s*=\s*(.*?)\s*$", head, re.MULTILINE))
    where = fields.get(b"ElementDataFile", b"").decode("latin-1")
    if not where:
        return [Fault("unreadable-file", f"{path}: no MetaImage header, for it names no ElementDataFile")]
    for raw in data_files(path):
        if reason := unreadable_reason(raw):
            return [Fault("missing-file", f"the voxels of {path.name}: {reason}", expected=f"the file {raw}")]
    needed = _needed(fields)
    if needed is None:
        return [Fault("unreadable-file", f"{path}: DimSize or ElementType is missing or wrong in the header")]
    if needed > MAX_BYTES:
        sizes = b" x ".join(fields[b"DimSize"].split()).decode("latin-1")
        found = f"{path}: {sizes} voxels in the header"
        return [Fault("too-large", found, expected=f"at most {MAX_BYTES >> 30} GiB")]
    if fields.get(b"CompressedData", b"").lower() == b"true" or where == "LIST" or "%" in where:
        return []
    if where == "LOCAL":
        begin = re.search(rb"^ElementDataFile.*\r?\n", head, re.MULTILINE)
        held, source = path.stat().st_size - (begin.end() if begin else 0), path
    else:
        source = path.with_name(where)
        held = source.stat().st_size
    return [Fault("truncated-file", f"{source}: {held} of {needed} bytes of voxels")] if held < needed else []


def _needed(fields: dict[bytes, bytes]) -> int | None:
    """Bytes of the voxels; ``None`` where the header does not say them."""
    size = fields.get(b"DimSize", b"").split()
    kind = fields.get(b"ElementType", b"").decode("latin-1").removeprefix("MET_").removesuffix("_ARRAY")
    width = _BYTES.get(kind.removeprefix("U"))
    channels = fields.get(b"ElementNumberOfChannels", b"1")
    if not size or width is None or not all(part.isdigit() for part in [*size, channels]):
        return None
    return math.prod(map(int, size)) * int(channels) * width
