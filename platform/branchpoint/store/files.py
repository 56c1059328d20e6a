"""Where the rows lie: immutable Parquet files, ``<root>/<table>/<study>/<written_ns>-<rows>-<origin>-<crc32>.parquet``.

A file appears whole or not at all, is never changed, and vanishes only after another one holds its rows. No file is
ever written twice, so that writers need no locks. Names tell all that is needed to plan a read or a compaction.

What lies beside them and cannot be used (another program's, a newer version's, a damaged one) is left out of every
read, is never deleted, and is named once in a warning and in ``Files.left_out``.

On a disk a file is written and synced under a hidden name and then renamed. The folder is not synced, which would
double the time: should power fail before the file system wrote the new name, the rows are there under the hidden one,
and the next listing gives them theirs. This rests on the sync of a new file writing its entry in the folder too, which
POSIX does not promise but ext4, XFS and Btrfs do (seen in trials that mounted the state of the disk after a write).
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from branchpoint.store import encoding
from branchpoint.store.data_file import DataFile, Listing
from branchpoint.store.left_out import LeftOut
from branchpoint.store.listing import TRIES, Lister
from branchpoint.store.place import StorePlace
from branchpoint.store.placing import Placer
from branchpoint.store.schema import TABLES, Table
from branchpoint.store.usable import check_content, check_footer, check_studies, reason_against

T = TypeVar("T")
S = TypeVar("S")


class Files:
    """The files of one store: listed, read as of one moment, put and deleted.

    Args:
        place: the store's root.
    """

    def __init__(self, place: StorePlace) -> None:
        self.place = place
        self._whole: set[str] = set()
        self._left_out = LeftOut()
        self.lister, placer = Lister(place, self._left_out), Placer(place)
        self.data_files, self.last_written = self.lister.data_files, self.lister.last_written
        self.put, self.delete = placer.put, placer.delete
        self.any_gone = place.any_gone

    def __reduce__(self) -> tuple[Any, ...]:
        return Files, (self.place,)

    @property
    def left_out(self) -> dict[str, str]:
        """Files that could not be used in what was read so far, and why."""
        return self._left_out.reasons

    def consistently(self, tables: Iterable[str], study: str | None, work: Callable[[Listing], T]) -> T:
        """``work`` on a listing of ``tables``; done again where a file vanished (was compacted) before it was read.

        Where it fails, all listed files are read in full, those that cannot be are left out, and it is done again.
        """
        names = list(tables)
        for attempt in range(TRIES):
            listing = {table: self.data_files(table, study) for table in names}
            try:
                return work(listing)
            except Exception:
                # Each library names a missing file in its own way, so look whether there is one.
                gone = self.any_gone([file for files in listing.values() for file in files])
                if not gone and not self.leave_out_unusable(listing):
                    raise
            time.sleep(min(0.001 * attempt, 0.05))
        raise OSError(f"{self.place.root}: files were replaced during each of {TRIES} reads")

    def leave_out_unusable(self, listing: Listing) -> bool:
        """Reads all files of ``listing`` in full; whether some are left out from now on."""
        found = False
        for table, files in listing.items():
            reasons = self.map(partial(self._reason, TABLES[table]), files)
            for file, reason in zip(files, reasons, strict=True):
                if reason is not None:
                    self._left_out.add(file.path, reason, self.place.fs.get_file_info(file.path))
                    found = True
        return found

    def _reason(self, table: Table, file: DataFile) -> str | None:
        try:
            with self.place.fs.open_input_file(file.path) as stream:
                content = stream.read()
        except FileNotFoundError:  # compacted
            return None
        except OSError as problem:
            if not self.place.is_local:  # the network: no fault of the file
                raise
            return f"it cannot be read: {problem.strerror or problem}"
        return reason_against(table, file, content)

    def read(self, table: Table, file: DataFile, columns: Sequence[str] | None) -> pa.Table:
        """``columns`` that ``file`` has (None: all), of all rows.

        Raises:
            ValueError: the file is damaged or none of this store.
        """
        return self.read_opened(table, file, self.open(table, file, studies=False), columns)

    def read_opened(
        self, table: Table, file: DataFile, opened: pq.ParquetFile, columns: Sequence[str] | None
    ) -> pa.Table:
        """The same of a file that was opened without a look at its studies."""
        rows = encoding.read_columns(table, opened, columns if columns is None else [*columns, "study"])
        check_studies(file, rows["study"])
        return rows if columns is None or "study" in columns else rows.drop_columns(["study"])

    def open(self, table: Table, file: DataFile, *, studies: bool = True) -> pq.ParquetFile:
        """Its footer is read and checked at once, its columns when they are asked for.

        On a disk the checksum of the whole content is compared first, once for each file.

        Args:
            studies: also check that all rows are of the study in whose folder it lies, which reads a column of a small
                file; what reads it all the same checks that there.

        Raises:
            UnusableError: the file is damaged or none of this store.
        """
        # Object stores keep checksums themselves; there, reading all of a file to check it would cost a download.
        source: Any = file.path
        if self.place.is_local and file.checksum is not None and file.path not in self._whole:
            source = _checked(file)
            self._whole.add(file.path)
        opened = pq.ParquetFile(source, filesystem=None if self.place.is_local else self.place.fs)
        check_footer(table, file, opened, studies=studies)
        return opened

    def map(self, work: Callable[[S], T], items: list[S]) -> list[T]:
        """``work`` on each item; several at once where reading is mostly waiting for the network."""
        if self.place.is_local or len(items) < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(work, items))


def _checked(file: DataFile) -> Any:
    """What Parquet reads ``file`` from, its checksum compared: the content of a small one, which is read but once."""
    with open(file.path, "rb") as stream:
        if file.rows <= encoding.PLAIN_ROWS:
            content = stream.read()
            check_content(file, zlib.crc32(content))
            return pa.BufferReader(content)
        found = 0
        while piece := stream.read(2**22):
            found = zlib.crc32(piece, found)
    check_content(file, found)
    return file.path
