"""Files of a phantom: each appears whole or not at all, with the same bytes on every run."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import numpy as np

from branchpoint.phantoms.grid import Grid

T = TypeVar("T")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, line ends as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(path)
    part.write_bytes(text.encode())
    os.replace(part, path)


def write_volume(path: Path, voxels: np.ndarray, grid: Grid) -> None:
    """Write a gzipped NIfTI volume (z, y, x) with identity direction: lightly compressed, without a time stamp."""
    import SimpleITK

    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(path)
    plain = part.with_name(part.name.removesuffix(".gz"))
    SimpleITK.WriteImage(grid.image(voxels), str(plain))
    part.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=1, mtime=0))
    plain.unlink()
    os.replace(part, path)


def same_file(source: Path, path: Path) -> None:
    """Let ``path`` be a second name of ``source``, or a copy where the file system knows no links."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(path)
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
    os.replace(part, path)
    part.unlink(missing_ok=True)  # replacing a name by another name of the same file leaves both


def shown(items: Iterable[T], total: int, label: str, progress: bool) -> Iterator[T]:
    """``items``, with a progress bar on standard error."""
    if not progress:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=label, total=total, console=Console(stderr=True))


def _part_of(path: Path) -> Path:
    """A hidden name beside ``path``, its own for each writer, with the same extension."""
    return path.with_name(f".{uuid4().hex}.{path.name}")
