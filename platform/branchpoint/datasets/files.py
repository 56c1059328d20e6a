"""What lies under a release's root folder, and how to say it in a message."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

MAX_DEPTH = 4
"""Deepest official layout below the folder above it: ``release/Task 1/PID/file``."""
MAX_FILES = 200_000
"""A root such as ``/`` must end in a message, not in a walk of the whole disk."""


def list_files(root: Path, depth: int = MAX_DEPTH) -> list[Path]:
    """Files at most ``depth`` folders below ``root``, sorted; hidden ones (``._x`` of macOS) are left out."""
    found: list[Path] = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        reached = len(here.relative_to(root).parts)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".")) if reached < depth else []
        found.extend(here / name for name in names if not name.startswith("."))
        if len(found) > MAX_FILES:
            break
    return sorted(found)


def describe_folder(root: Path, limit: int = 6) -> str:
    """What ``root`` holds, for a message: ``hecktor_nii/, notes.txt and 3 more``."""
    if not root.exists():
        parent = next(folder for folder in root.parents if folder.exists())
        return f"no such folder; {parent} holds {describe_folder(parent, limit)}"
    if not root.is_dir():
        return "a file, not a folder"
    try:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(root))
    except OSError as problem:
        return f"a folder that cannot be read ({problem.strerror})"
    if not names:
        return "an empty folder"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def without_suffix(name: str) -> str:
    """File name without ``.nii`` or ``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)


def listed(names: Iterable[str], limit: int = 4) -> str:
    """Names for a message: ``a, b, c, d and 7 more``."""
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
