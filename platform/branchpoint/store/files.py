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

import logging
import re
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from branchpoint.io.storage import put_object, sync_folder, write_atomically
from branchpoint.store.data_file import DataFile, Listing
from branchpoint.store.schema import TABLES, Table
from branchpoint.store.usable import check_content, check_footer, reason_against

T = TypeVar("T")
S = TypeVar("S")

_NAME = re.compile(r"(?P<ns>\d{19})-(?P<rows>\d+)-(?P<origin>c?[0-9a-f]{16})(?:-(?P<crc>[0-9a-f]{8}))?\.parquet")
_HIDDEN = re.compile(rf"\.(?P<name>{_NAME.pattern})\.tmp")
_DEAD_SECONDS = 10.0  # a writer takes milliseconds from the hidden name to the final one
_TORN_SECONDS = 7 * 86_400.0  # far more than clocks of hosts that share a disk differ
_TRIES = 200
_LAST_NS = 2**63 - 2**60  # the year 2225: a later time in a name would leave no room for those that follow

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeftOut:
    """A file that is not read: why, and as which file (size, time of change) it was looked at."""

    reason: str
    state: tuple[Any, ...] | None = None


def new_origin() -> str:
    """16 hex digits that no other writer has."""
    return uuid.uuid4().hex[:16]


def _folder(study: str) -> str:
    """A folder name that readers do not skip (leading ``.`` or ``_``) and take for no pattern or partition."""
    name = quote(study, safe="").replace("~", "%7E")
    if name[:1] in (".", "_"):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if not 0 < len(name) <= 200:
        raise ValueError(f"study is {study!r}: its name must have 1 to 200 characters when percent-encoded")
    return name


class Files:
    """The files of one store.

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
        self._made: set[Path] = set()
        self._whole: set[str] = set()
        self._left_out: dict[str, LeftOut] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # A relative path means the folder where the store was opened: workers run elsewhere.
        return Files, (self.root, self._given) if self.is_local else (self.uri, self._given)

    def folder(self, table: str, study: str | None = None) -> str:
        """Folder of a table, or of one study in it."""
        return f"{self.root}/{table}" + (f"/{_folder(study)}" if study is not None else "")

    def exists(self) -> bool:
        """Whether there is a folder (in an object store: anything) at the root."""
        info = self.fs.get_file_info(self.root)
        if info.type == pafs.FileType.File:
            raise ValueError(f"{self.root} is a file: the results store is a folder")
        return bool(info.type == pafs.FileType.Directory)

    @property
    def left_out(self) -> dict[str, str]:
        """Files that could not be used in what was read so far, and why."""
        return {path: found.reason for path, found in sorted(self._left_out.items())}

    def _leave_out(self, path: str, reason: str, state: tuple[Any, ...] | None = None) -> None:
        if path not in self._left_out or self._left_out[path].reason != reason:
            _log.warning("left out: %s: %s. Its rows are in no result; restore it or move it away.", path, reason)
        self._left_out[path] = LeftOut(reason, state)

    # Listing

    def data_files(self, table: str, study: str | None = None) -> list[DataFile]:
        """Data files of a table, oldest first.

        A listing is not one instant: a file that a compaction replaces may be gone before its place is reached, and
        the new one may come after its place was passed. Two listings are compared, and made again until nothing has
        vanished and no compacted file has come between them.
        """
        before, left_behind = self._list_once(table, study)
        if left_behind:
            self._recover(left_behind)
        for _ in range(_TRIES):
            after, _ = self._list_once(table, study)
            appeared = after.keys() - before.keys()
            if before.keys() <= after.keys() and not any(after[path].compacted for path in appeared):
                return sorted(after.values())
            before = after
        raise OSError(f"{self.folder(table, study)}: files were replaced during each of {_TRIES} listings")

    def last_written(self, table: str, study: str, *, recover: bool = False) -> int:
        """Largest ``written_ns`` of what is there, also of files that are still hidden; 0 where there is nothing."""
        if recover:
            self.data_files(table, study)
        names = [_NAME.search(info.base_name) for info in self._infos(table, study)]
        stated = (int(name["ns"]) for name in names if name is not None)
        return max((ns for ns in stated if ns < _LAST_NS), default=0)

    def _list_once(self, table: str, study: str | None) -> tuple[dict[str, DataFile], list[pafs.FileInfo]]:
        """Data files by path, and hidden ones whose writer must be dead."""
        files, left_behind = {}, []
        for info in self._infos(table, study):
            if _HIDDEN.fullmatch(info.base_name) and _age(info) > _DEAD_SECONDS:
                left_behind.append(info)
            if not info.path.endswith(".parquet") or info.base_name.startswith("."):
                continue
            name = _NAME.fullmatch(info.base_name)
            reason = self._foreign(table, study, info, name)
            if reason is not None:
                self._leave_out(info.path, reason)
                continue
            # An empty object may be one that is being created; on a disk a file of ours is never empty.
            known = self._left_out.get(info.path)
            if name is None or info.size == 0 or (known is not None and known.state == _state(info)):
                continue
            self._left_out.pop(info.path, None)
            owner = unquote(info.path.rsplit("/", 2)[1])
            rows, compacted = int(name["rows"]), name["origin"].startswith("c")
            checksum = None if name["crc"] is None else int(name["crc"], 16)
            files[info.path] = DataFile(int(name["ns"]), rows, info.path, owner, compacted, checksum)
        return files, left_behind

    def _foreign(self, table: str, study: str | None, info: pafs.FileInfo, name: re.Match[str] | None) -> str | None:
        """Why what is called ``*.parquet`` is no data file of this store; ``None`` where it may be one."""
        if info.type != pafs.FileType.File:
            return "it is not a regular file"
        if name is None or int(name["ns"]) >= _LAST_NS:
            return "its name is none that this store gives"
        if info.size == 0 and (self.is_local or _age(info) > _DEAD_SECONDS):
            return "it is empty"
        below = info.path.removeprefix(f"{self.folder(table)}/").split("/") if study is None else ["", ""]
        if len(below) != 2:
            return "it does not lie in the folder of a study"
        return None

    def _infos(self, table: str, study: str | None) -> list[pafs.FileInfo]:
        """What lies in the folder of a study, or in all of them."""
        selector = pafs.FileSelector(self.folder(table, study), allow_not_found=True, recursive=study is None)
        try:
            return self.fs.get_file_info(selector)
        except FileNotFoundError:  # a folder was made between pyarrow's failure to find it and its second look
            return self.fs.get_file_info(selector)

    def consistently(self, tables: Iterable[str], study: str | None, work: Callable[[Listing], T]) -> T:
        """``work`` on a listing of ``tables``; done again where a file vanished (was compacted) before it was read.

        Where it fails, all listed files are read in full, those that cannot be are left out, and it is done again.
        """
        names = list(tables)
        for attempt in range(_TRIES):
            listing = {table: self.data_files(table, study) for table in names}
            try:
                return work(listing)
            except Exception:
                # Each library names a missing file in its own way, so look whether there is one.
                gone = self.any_gone([file for files in listing.values() for file in files])
                if not gone and not self.leave_out_unusable(listing):
                    raise
            time.sleep(min(0.001 * attempt, 0.05))
        raise OSError(f"{self.root}: files were replaced during each of {_TRIES} reads")

    def leave_out_unusable(self, listing: Listing) -> bool:
        """Reads all files of ``listing`` in full; whether some are left out from now on."""
        found = False
        for table, files in listing.items():
            reasons = self.map(partial(self._reason, TABLES[table]), files)
            for file, reason in zip(files, reasons, strict=True):
                if reason is not None:
                    self._leave_out(file.path, reason, _state(self.fs.get_file_info(file.path)))
                    found = True
        return found

    def _reason(self, table: Table, file: DataFile) -> str | None:
        try:
            with self.fs.open_input_file(file.path) as stream:
                content = stream.read()
        except FileNotFoundError:  # compacted
            return None
        except OSError as problem:
            if not self.is_local:  # the network: no fault of the file
                raise
            return f"it cannot be read: {problem.strerror or problem}"
        return reason_against(table, file, content)

    def any_gone(self, files: Sequence[DataFile]) -> bool:
        """Whether one of ``files`` is no longer there."""
        infos = self.fs.get_file_info([file.path for file in files]) if files else []
        return any(info.type == pafs.FileType.NotFound for info in infos)

    def open(self, table: Table, file: DataFile) -> pq.ParquetFile:
        """Its footer is read and checked at once, its columns when they are asked for.

        On a disk the checksum of the whole content is compared first, once for each file.

        Raises:
            UnusableError: the file is damaged or none of this store.
        """
        # Object stores keep checksums themselves; there, reading all of a file to check it would cost a download.
        if self.is_local and file.checksum is not None and file.path not in self._whole:
            check_content(file, _checksum(file.path))
            self._whole.add(file.path)
        opened = pq.ParquetFile(file.path, filesystem=None if self.is_local else self.fs)
        check_footer(table, file, opened)
        return opened

    def map(self, work: Callable[[S], T], items: list[S]) -> list[T]:
        """``work`` on each item; several at once where reading is mostly waiting for the network."""
        if self.is_local or len(items) < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(work, items))

    # Writing

    def put(self, table: str, study: str, written_ns: int, rows: int, origin: str, data: pa.Buffer) -> DataFile:
        """Makes a new data file visible: whole, and its rows (local disks) safe from a loss of power on return."""
        folder = self.folder(table, study)
        checksum = zlib.crc32(data)
        name = f"{written_ns:019d}-{rows}-{origin}-{checksum:08x}.parquet"
        path, hidden = f"{folder}/{name}", f"{folder}/.{name}.tmp"
        if self.is_local:
            self._put_local(Path(folder), Path(hidden), Path(path), data)
        else:
            put_object(self.fs, path, data, hidden)
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
                self.fs.delete_file(file.path)
            except OSError:
                if not self.any_gone([file]):
                    raise

    def _recover(self, left_behind: Iterable[pafs.FileInfo]) -> None:
        """Gives whole files their names, and removes torn ones after a week."""
        for info in left_behind:
            try:
                if self._is_whole(info.path):
                    name = info.base_name.removeprefix(".").removesuffix(".tmp")
                    self.fs.move(info.path, f"{info.path.rsplit('/', 1)[0]}/{name}")
                elif _age(info) > _TORN_SECONDS:
                    self.fs.delete_file(info.path)
            except FileNotFoundError:
                continue  # somebody else was faster
            except OSError as problem:
                _log.warning("%s holds rows that a killed writer left, but cannot be renamed: %s", info.path, problem)

    def _is_whole(self, path: str) -> bool:
        try:
            pq.read_metadata(path, filesystem=None if self.is_local else self.fs)
        except pa.ArrowInvalid:
            return False
        return True


def _checksum(path: str) -> int:
    """CRC-32 of a file, 4 MiB at a time."""
    found = 0
    with open(path, "rb") as stream:
        while piece := stream.read(2**22):
            found = zlib.crc32(piece, found)
    return found


def _state(info: pafs.FileInfo) -> tuple[Any, ...]:
    """Changes when somebody replaces the file, such as by a copy that is whole."""
    return (info.size, info.mtime)


def _age(info: pafs.FileInfo) -> float:
    """Seconds since the last change, as far as it is known."""
    return 0.0 if info.mtime is None else time.time() - info.mtime.timestamp()


def _make_durable(folder: Path) -> None:
    """Makes a folder and its parents so that they outlast a loss of power."""
    if folder.is_dir():
        return
    _make_durable(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
