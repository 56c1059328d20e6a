"""A data file of the store, as its path describes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class DataFile:
    """A data file, as its path tells it.

    Attributes:
        written_ns: largest ``written_ns`` of its rows.
        rows: number of rows.
        path: path on the file system.
        study: study of its rows.
        compacted: whether a compaction wrote it.
        checksum: CRC-32 of its content; ``None`` for files of version 1.
    """

    written_ns: int
    rows: int
    path: str
    study: str
    compacted: bool
    checksum: int | None = None


Listing = dict[str, list[DataFile]]
