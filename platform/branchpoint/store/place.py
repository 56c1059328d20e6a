"""Where a store lies: a folder on a disk or in an object store, and the folders of its tables and studies in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyarrow import fs as pafs

from branchpoint.store.data_file import DataFile, folder_name


class StorePlace:
    """The root of one store.

    Args:
        uri: local path, or the URI of an object store such as ``s3://bucket/results``.
        filesystem: a ``pyarrow.fs.FileSystem`` on which ``uri`` is a plain path.
    """

    def __init__(self, uri: str, filesystem: pafs.FileSystem | None = None) -> None:
        self.uri = uri
        self._given = filesystem
        if filesystem is not None:
            self.fs, self.root = filesystem, uri.rstrip("/")
        elif "://" in uri:
            self.fs, self.root = pafs.FileSystem.from_uri(uri)
        else:
            self.fs, self.root = pafs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
        self.is_local = isinstance(self.fs, pafs.LocalFileSystem)

    def __reduce__(self) -> tuple[Any, ...]:
        # A relative path means the folder where the store was opened: workers run elsewhere.
        return StorePlace, (self.root, self._given) if self.is_local else (self.uri, self._given)

    def folder(self, table: str, study: str | None = None) -> str:
        """Folder of a table, or of one study in it."""
        return f"{self.root}/{table}" + (f"/{folder_name(study)}" if study is not None else "")

    def exists(self) -> bool:
        """Whether there is a folder (in an object store: anything) at the root."""
        info = self.fs.get_file_info(self.root)
        if info.type == pafs.FileType.File:
            raise ValueError(f"{self.root} is a file: the results store is a folder")
        return bool(info.type == pafs.FileType.Directory)

    def infos(self, table: str, study: str | None) -> list[pafs.FileInfo]:
        """What lies in the folder of a study, or in all of them."""
        selector = pafs.FileSelector(self.folder(table, study), allow_not_found=True, recursive=study is None)
        try:
            return self.fs.get_file_info(selector)
        except FileNotFoundError:  # a folder was made between pyarrow's failure to find it and its second look
            return self.fs.get_file_info(selector)

    def any_gone(self, files: Sequence[DataFile]) -> bool:
        """Whether one of ``files`` is no longer there."""
        infos = self.fs.get_file_info([file.path for file in files]) if files else []
        return any(info.type == pafs.FileType.NotFound for info in infos)


def age_seconds(info: pafs.FileInfo) -> float:
    """Seconds since the last change, as far as it is known."""
    return 0.0 if info.mtime is None else time.time() - info.mtime.timestamp()
