"""A data file of the store: what its path says, and which paths the store gives."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from urllib.parse import quote, unquote

NAME = re.compile(r"(?P<ns>\d{19})-(?P<rows>\d+)-(?P<origin>c?[0-9a-f]{16})(?:-(?P<crc>[0-9a-f]{8}))?\.parquet")
HIDDEN = re.compile(rf"\.(?P<name>{NAME.pattern})\.tmp")
LAST_NS = 2**63 - 2**60  # the year 2225: a later time in a name would leave no room for those that follow


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

    @classmethod
    def at(cls, path: str) -> DataFile | None:
        """The file at ``path``; ``None`` where its name is none that the store gives."""
        *_, folder, base = path.split("/")
        name = NAME.fullmatch(base)
        if name is None or int(name["ns"]) >= LAST_NS:
            return None
        checksum = None if name["crc"] is None else int(name["crc"], 16)
        return cls(int(name["ns"]), int(name["rows"]), path, unquote(folder), name["origin"].startswith("c"), checksum)


Listing = dict[str, list[DataFile]]


def new_origin() -> str:
    """16 hex digits that no other writer has."""
    return uuid.uuid4().hex[:16]


def folder_name(study: str) -> str:
    """A folder name that readers do not skip (leading ``.`` or ``_``) and take for no pattern or partition."""
    name = quote(study, safe="").replace("~", "%7E")
    if name[:1] in (".", "_"):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if not 0 < len(name) <= 200:
        raise ValueError(f"study is {study!r}: its name must have 1 to 200 characters when percent-encoded")
    return name
