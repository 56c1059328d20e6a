"""Which files of a user's folder belong to which sample, told by the patterns of its declaration."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from branchpoint.datasets.preparation.image_files import is_picture, is_volume

_ANY_DEPTH = 64
"""Folders below the root that a pattern with ``**/`` is looked for in."""
_PIECES = re.compile(r"(\{id\}|\*\*/|\*)")

BySample = dict[str, dict[str, list[Path]]]
"""Modality or target to sample to files."""


def relative_pattern(files: str, root: Path) -> str:
    """``files`` as a path below ``root``, with ``/`` between its parts: as Windows, or a file manager, may write it.

    Raises:
        ValueError: it leads out of the root, is hidden, or names no sample; the message says which.
    """
    text = files.replace("\\", "/")
    if text.startswith("/") or re.match(r"[A-Za-z]:/", text):
        tops = [top.as_posix() for top in (root, root.absolute(), root.resolve())]
        below = next((text[len(top) + 1 :] for top in tops if text.startswith(f"{top}/")), None)
        if below is None:
            raise ValueError(f"is {files!r}, which does not lie below {root}: give a path from there")
        text = below
    text = posixpath.normpath(text)
    if text.startswith("../"):
        raise ValueError(f"is {files!r}, which leads out of {root}: put the files below it")
    if "{id}" not in text:
        raise ValueError(f"is {files!r}: write {{id}} where the sample's identifier stands")
    if any(part.startswith(".") for part in text.split("/")):
        raise ValueError(f"is {files!r}: hidden files (a name that begins with '.') are not read; rename them")
    return text


@lru_cache(maxsize=4096)
def pattern(files: str, length: int | None = None) -> re.Pattern[str]:
    """What finds the sample's identifier in a path below the root; every ``{id}`` in it must be the same.

    The case of the ending does not matter: ``{id}.jpg`` finds ``M1.JPG``.

    Args:
        files: with ``{id}``; ``*`` stands for anything within one name, ``**/`` for any folders.
        length: characters of the identifier; by default as few as possible.
    """
    text, first = "", True
    pieces = _PIECES.split(files)
    ending = re.search(r"(\.\w+)+$", pieces[-1])
    if ending:
        pieces[-1:] = [pieces[-1][: ending.start()], ending[0]]
    for place, piece in enumerate(pieces):
        if piece == "{id}":
            size = "+?" if length is None else f"{{{length}}}"
            text += f"(?P<id>[^/]{size})" if first else "(?P=id)"
            first = False
        elif piece in ("*", "**/"):
            text += "[^/]*" if piece == "*" else "(?:[^/]+/)*"
        else:
            literal = re.escape(piece)
            text += f"(?i:{literal})" if ending and place == len(pieces) - 1 else literal
    return re.compile(text)


def possible_samples(files: str, path: str) -> list[str]:
    """Every identifier that ``path`` may bear by the pattern ``files``, the shortest first; empty where none fits."""
    match = pattern(files).fullmatch(path)
    if match is None:
        return []
    if "*" not in files:
        return [match["id"]]
    longest = max(map(len, path.split("/")))
    matches = (pattern(files, length).fullmatch(path) for length in range(len(match["id"]), longest + 1))
    return [match["id"] for match in matches if match]


def depth_of(patterns: Iterable[str]) -> int:
    """Folders below the root in which files of ``patterns`` may lie."""
    return max(_ANY_DEPTH if "**/" in files else files.count("/") for files in patterns)


@dataclass(frozen=True)
class FolderFiles:
    """What a folder holds for a declaration.

    Attributes:
        found: name of a pattern to sample to its files.
        unread: the same, of files whose format is not read.
    """

    found: BySample = field(default_factory=dict)
    unread: BySample = field(default_factory=dict)


def match_files(
    root: Path, patterns: Mapping[str, str], listing: Iterable[Path], known: Collection[str]
) -> FolderFiles:
    """Give each file to the sample that its name bears.

    A file that several patterns fit belongs to the one that says most of its name, so that ``{id}_mask.png`` are masks
    beside the images ``{id}.png`` and no samples of their own. Where ``*`` leaves the identifier open
    (``{id}_*.png`` and ``P_01_a.png``), it is the longest that is known, else the shortest.

    Args:
        root: folder of the declaration.
        patterns: modality or target to pattern.
        listing: files below ``root``.
        known: identifiers of the table.
    """
    claims = [(path, claim) for path in listing if (claim := _claim(patterns, path.relative_to(root).as_posix()))]
    sure = {ids[0] for _, claim in claims for ids in claim.values() if len(ids) == 1}
    known = sure.union(known)
    files = FolderFiles({name: defaultdict(list) for name in patterns}, {name: defaultdict(list) for name in patterns})
    for path, claim in claims:
        group = files.found if is_picture(path) or is_volume(path) else files.unread
        for name, ids in claim.items():
            sample = next((each for each in reversed(ids) if each in known), ids[0])
            group[name][sample].append(path)
    return FolderFiles(
        {name: dict(samples) for name, samples in files.found.items()},
        {name: dict(samples) for name, samples in files.unread.items()},
    )


def _claim(patterns: Mapping[str, str], path: str) -> dict[str, list[str]]:
    """The patterns that say most of ``path``, each with the identifiers that it may bear."""
    claims = {name: ids for name, files in patterns.items() if (ids := possible_samples(files, path))}
    most = max((_said(patterns[name]) for name in claims), default=0)
    return {name: ids for name, ids in claims.items() if _said(patterns[name]) == most}


def _said(files: str) -> int:
    """Characters of a pattern that are not left open."""
    return sum(len(piece) for piece in _PIECES.split(files)[::2])
