"""The files under a release's root folder, and descriptions of them for messages."""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

MAX_DEPTH = 4
"""Deepest official layout below the folder above it: ``release/Task 1/PID/file``."""
MAX_FILES = 2_000_000
"""A root such as ``/`` must end in a message, not in a walk of the whole disk."""


def list_files(root: Path, depth: int = MAX_DEPTH) -> list[Path]:
    """Regular files at most ``depth`` folders below ``root``, sorted; hidden ones (``._x`` of macOS) are left out.

    Named pipes, devices, links that lead nowhere or in a circle, and names that are not UTF-8 are left out too:
    :func:`unusual_entries` names them.

    Raises:
        ValueError: there are more than ``MAX_FILES`` files.
    """
    return sorted(path for path, reason in _walk(root, depth) if not reason)


def unusual_entries(root: Path, depth: int = MAX_DEPTH) -> list[tuple[str, str]]:
    """The entries that :func:`list_files` leaves out: printable path, and the reason.

    Raises:
        ValueError: there are more than ``MAX_FILES`` files.
    """
    return sorted((printable(str(path)), reason) for path, reason in _walk(root, depth) if reason)


def _walk(root: Path, depth: int) -> Iterator[tuple[Path, str]]:
    """Every file below ``root``, and why it cannot be read, or ``""``."""
    count = 0
    waiting: list[tuple[Path, int, frozenset[tuple[int, int]]]] = [(root, 0, frozenset())]
    while waiting:
        folder, level, above = waiting.pop()
        try:
            place = os.stat(folder)
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        except OSError:
            continue
        if (place.st_dev, place.st_ino) in above:
            yield folder, "a link in a circle: it leads to a folder above it"
            continue
        inner = above | {(place.st_dev, place.st_ino)}
        for entry in entries:
            path = folder / entry.name
            if _is_folder(entry):
                waiting += [(path, level + 1, inner)] if level < depth else []
                continue
            count += 1
            if count > MAX_FILES:
                raise ValueError(
                    f"{root} holds more than {MAX_FILES:,} files: point --root to the release's own folder"
                )
            yield path, unreadable_reason(path) if entry.is_symlink() or not _is_file(entry) else _name_reason(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def unreadable_reason(path: Path) -> str:
    """Why ``path`` is no regular file with a name that every program can use; ``""`` if it is one."""
    try:
        mode = os.stat(path).st_mode
    except OSError as problem:
        circle = problem.errno == errno.ELOOP
        if circle or os.path.lexists(path):
            return "a link in a circle" if circle else f"a link that leads nowhere ({problem.strerror})"
        return "no such file"
    if stat.S_ISREG(mode):
        return _name_reason(path)
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder",
    }
    return f"{kinds.get(stat.S_IFMT(mode), 'something')}, not a file"


def _name_reason(path: Path) -> str:
    return "" if is_printable(str(path)) else "a name that is not UTF-8: rename it"


def is_printable(text: str) -> bool:
    """Whether ``text`` can be encoded: names that are not UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """``text`` with the bytes that are not UTF-8, and control characters, written as ``\\xff``."""
    plain = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(ascii(sign)[1:-1] if unicodedata.category(sign) == "Cc" else sign for sign in plain)


def describe_folder(root: Path, limit: int = 6) -> str:
    """The content of ``root``, for a message: ``hecktor_nii/, notes.txt and 3 more``."""
    if not root.exists():
        parent = next(folder for folder in root.parents if folder.exists())
        return f"no such folder; {parent} holds {describe_folder(parent, limit)}"
    if not root.is_dir():
        return "a file, not a folder"
    try:
        names = sorted(printable(entry.name) + "/" * _is_folder(entry) for entry in os.scandir(root))
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
