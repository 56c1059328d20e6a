"""Which data files there are, at one moment, while others write, merge and are killed."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from branchpoint.store.data_file import HIDDEN, LAST_NS, NAME, DataFile
from branchpoint.store.left_out import LeftOut
from branchpoint.store.place import StorePlace, age_seconds

TRIES = 200
_DEAD_SECONDS = 10.0  # a writer takes milliseconds from the hidden name to the final one
_TORN_SECONDS = 7 * 86_400.0  # far more than clocks of hosts that share a disk differ

_log = logging.getLogger(__name__)


class Lister:
    """Lists the data files of one store, and gives those their names that a killed writer left hidden."""

    def __init__(self, place: StorePlace, left_out: LeftOut) -> None:
        self._place, self._left_out = place, left_out

    def data_files(self, table: str, study: str | None = None) -> list[DataFile]:
        """Data files of a table, oldest first.

        A listing is not one instant: a file that a compaction replaces may be gone before its place is reached, and
        the new one may come after its place was passed. Two listings are compared, and made again until nothing has
        vanished and no compacted file has come between them.
        """
        before, left_behind = self._list_once(table, study)
        if left_behind:
            self._recover(left_behind)
        for _ in range(TRIES):
            after, _ = self._list_once(table, study)
            appeared = after.keys() - before.keys()
            if before.keys() <= after.keys() and not any(after[path].compacted for path in appeared):
                return sorted(after.values())
            before = after
        raise OSError(f"{self._place.folder(table, study)}: files were replaced during each of {TRIES} listings")

    def last_written(self, table: str, study: str, *, recover: bool = False) -> int:
        """Largest ``written_ns`` of what is there, also of files that are still hidden; 0 where there is nothing."""
        if recover:
            self.data_files(table, study)
        names = [NAME.search(info.base_name) for info in self._place.infos(table, study)]
        stated = (int(name["ns"]) for name in names if name is not None)
        return max((ns for ns in stated if ns < LAST_NS), default=0)

    def _list_once(self, table: str, study: str | None) -> tuple[dict[str, DataFile], list[pafs.FileInfo]]:
        """Data files by path, and hidden ones whose writer must be dead."""
        files, left_behind = {}, []
        for info in self._place.infos(table, study):
            if HIDDEN.fullmatch(info.base_name) and age_seconds(info) > _DEAD_SECONDS:
                left_behind.append(info)
            if not info.path.endswith(".parquet") or info.base_name.startswith("."):
                continue
            file = DataFile.at(info.path)
            reason = self._foreign(table, study, info, file)
            if reason is not None:
                self._left_out.add(info.path, reason)
                continue
            # An empty object may be one that is being created; on a disk a file of ours is never empty.
            if file is None or info.size == 0 or self._left_out.holds(info):
                continue
            self._left_out.forget(info.path)
            files[info.path] = file
        return files, left_behind

    def _foreign(self, table: str, study: str | None, info: pafs.FileInfo, file: DataFile | None) -> str | None:
        """Why what is called ``*.parquet`` is no data file of this store; ``None`` where it may be one."""
        if info.type != pafs.FileType.File:
            return "it is not a regular file"
        if file is None:
            return "its name is none that this store gives"
        if info.size == 0 and (self._place.is_local or age_seconds(info) > _DEAD_SECONDS):
            return "it is empty"
        below = info.path.removeprefix(f"{self._place.folder(table)}/").split("/") if study is None else ["", ""]
        if len(below) != 2:
            return "it does not lie in the folder of a study"
        return None

    def _recover(self, left_behind: Iterable[pafs.FileInfo]) -> None:
        """Gives whole files their names, and removes torn ones after a week."""
        for info in left_behind:
            try:
                if self._is_whole(info.path):
                    name = info.base_name.removeprefix(".").removesuffix(".tmp")
                    self._place.fs.move(info.path, f"{info.path.rsplit('/', 1)[0]}/{name}")
                elif age_seconds(info) > _TORN_SECONDS:
                    self._place.fs.delete_file(info.path)
            except FileNotFoundError:
                continue  # somebody else was faster
            except OSError as problem:
                _log.warning("%s holds rows that a killed writer left, but cannot be renamed: %s", info.path, problem)

    def _is_whole(self, path: str) -> bool:
        try:
            pq.read_metadata(path, filesystem=None if self._place.is_local else self._place.fs)
        except pa.ArrowInvalid:
            return False
        return True
