"""Contents of input files as short hashes, kept between jobs so that unchanged files are not read again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from branchpoint.io.storage import write_atomically

_RACY_NS = 2_000_000_000
"""A file changed this shortly before it was hashed could change again within one tick of its clock."""


def fingerprint(plain: Any) -> str:
    """32 hex digits of the canonical JSON of ``plain``."""
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class InputHashes:
    """Hashes of the input files of the release under ``root``, kept in ``cache_dir``.

    A file counts as unchanged while its size, inode, modification and status-change times stay; any write to it
    moves the last.
    """

    def __init__(self, cache_dir: Path, root: Path) -> None:
        self._path = cache_dir / "inputs" / f"{fingerprint(str(root))}.json"
        self._known: dict[str, list[Any]] = json.loads(self._path.read_text()) if self._path.exists() else {}
        self._changed = False

    def of(self, path: Path) -> str:
        """Hash of the file's bytes.

        Raises:
            ValueError: there is no such file, or it cannot be read.
        """
        try:
            status = os.stat(path)
            stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
            known = self._known.get(str(path))
            if known and known[0] == stamp and known[1] - max(stamp[2:]) > _RACY_NS:
                return known[2]
            now = time.time_ns()
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
        except OSError as problem:
            raise ValueError(f"{path}: {problem.strerror}; restore it or leave the patient out") from problem
        self._known[str(path)] = [stamp, now, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Keep what was learned for the next job."""
        if self._changed:
            write_atomically(self._path, json.dumps(self._known))
