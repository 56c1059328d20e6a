"""Files that lie in the store's folders and cannot be used: named once in a warning, and listed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from pyarrow import fs as pafs

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Finding:
    """Why a file is not read, and as which file (size, time of change) it was looked at."""

    reason: str
    state: tuple[Any, ...] | None = None


class LeftOut:
    """What reads of one store had to leave out so far."""

    def __init__(self) -> None:
        self._found: dict[str, _Finding] = {}

    @property
    def reasons(self) -> dict[str, str]:
        """Path to reason."""
        return {path: found.reason for path, found in sorted(self._found.items())}

    def add(self, path: str, reason: str, seen: pafs.FileInfo | None = None) -> None:
        """Leave out the file at ``path``: always, or as long as it is the one that was ``seen``."""
        if path not in self._found or self._found[path].reason != reason:
            _log.warning("left out: %s: %s. Its rows are in no result; restore it or move it away.", path, reason)
        self._found[path] = _Finding(reason, None if seen is None else _state(seen))

    def holds(self, info: pafs.FileInfo) -> bool:
        """Whether this very file was found unusable; one that was replaced since gets another look."""
        found = self._found.get(info.path)
        return found is not None and found.state == _state(info)

    def forget(self, path: str) -> None:
        """The file may be usable after all."""
        self._found.pop(path, None)


def _state(info: pafs.FileInfo) -> tuple[Any, ...]:
    """Changes when somebody replaces the file, such as by a copy that is whole."""
    return (info.size, info.mtime)
