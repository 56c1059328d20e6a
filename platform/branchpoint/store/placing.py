"""Puts a new data file into the store, whole and durable, and takes away one that another file replaces."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from branchpoint.io.storage import put_object, sync_folder, write_atomically
from branchpoint.store.data_file import DataFile
from branchpoint.store.place import StorePlace


class Placer:
    """Adds and removes the data files of one store."""

    def __init__(self, place: StorePlace) -> None:
        self._place = place
        self._made: set[Path] = set()

    def put(self, table: str, study: str, written_ns: int, rows: int, origin: str, data: pa.Buffer) -> DataFile:
        """Makes a new data file visible: whole, and its rows (local disks) safe from a loss of power on return."""
        folder = self._place.folder(table, study)
        checksum = zlib.crc32(data)
        name = f"{written_ns:019d}-{rows}-{origin}-{checksum:08x}.parquet"
        path, hidden = f"{folder}/{name}", f"{folder}/.{name}.tmp"
        if self._place.is_local:
            self._put_local(Path(folder), Path(hidden), Path(path), data)
        else:
            put_object(self._place.fs, path, data, hidden)
        return DataFile(written_ns, rows, path, study, origin.startswith("c"), checksum)

    def _put_local(self, folder: Path, hidden: Path, path: Path, data: pa.Buffer, again: bool = True) -> None:
        if folder not in self._made:
            _make_durable(folder)
            self._made.add(folder)
        try:
            write_atomically(path, memoryview(data), partial=hidden, sync_name=False)
        except FileNotFoundError:
            # After ten seconds of syncing, or with clocks apart, we were taken for dead, and another process has given
            # the file its name. It may have been compacted since, or removed as torn: only then are the rows not safe.
            if not folder.is_dir():
                raise
            if again and not path.exists():
                self._put_local(folder, hidden, path, data, again=False)

    def delete(self, files: Iterable[DataFile]) -> None:
        """Removes files whose rows another file holds; one that is gone already does not matter."""
        for file in files:
            try:
                self._place.fs.delete_file(file.path)
            except OSError:
                if not self._place.any_gone([file]):
                    raise


def _make_durable(folder: Path) -> None:
    """Makes a folder and its parents so that they outlast a loss of power."""
    if folder.is_dir():
        return
    _make_durable(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
