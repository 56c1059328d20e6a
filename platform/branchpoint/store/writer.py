"""Rows into the store, each call one new file: durable and visible as a whole when the call returns."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from branchpoint.io.names import check_name
from branchpoint.store import compaction, encoding
from branchpoint.store.data_file import new_origin
from branchpoint.store.files import Files
from branchpoint.store.records import EpochRecord, FigureRecord, Record, StudyRecord, TrialRecord, to_table
from branchpoint.store.schema import Table

LOOK_EVERY = 4  # calls between looks for files to merge

_log = logging.getLogger(__name__)


class Writer:
    """Writes rows of one study; any number of writers, threads and processes may do so at once.

    A row with a key that is there already replaces the former one. Which is the later one: that of the later call
    in one writer; that of a call that began when the other row was already there, whatever the clocks of the two hosts
    say (each call looks for the largest time that is there and writes a larger one); else the one with the later time.
    From time to time a call also merges small files, which takes
    milliseconds; ``merge_every=0`` turns that off.

    Args:
        files: of the store.
        study: unique name; see :func:`branchpoint.io.names.check_name`.
        merge_every: number of calls between looks for files to merge; where the first one falls is drawn, so that
            many writers of few rows take turns.
        clock: ns since 1970.
    """

    def __init__(
        self,
        files: Files,
        study: str,
        *,
        merge_every: int = LOOK_EVERY,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.study_name = check_name(study)
        self._files = files
        self._merge_every = merge_every
        self._clock = clock
        self._lock = threading.Lock()
        self._become_new()

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self._files, self.study_name, self._merge_every)

    def study(self, record: StudyRecord) -> None:
        """Writes what the study is about."""
        self.append([record])

    def trial(self, record: TrialRecord) -> None:
        """Writes the present state of a trial."""
        self.append([record])

    def epoch(self, record: EpochRecord) -> None:
        """Writes the figures of one epoch."""
        self.append([record])

    def figures(self, records: Sequence[FigureRecord]) -> None:
        """Writes reported figures, all of them or none."""
        self.append(records)

    def append(self, records: Sequence[Record]) -> None:
        """Writes ``records``, all of one kind, all of them or none.

        Raises:
            ValueError: a record is of another study, or kinds are mixed.
            OSError: the file system refuses; nothing was written.
        """
        if not records:
            return
        table = records[0].table
        for record in records:
            if record.study != self.study_name:
                raise ValueError(f"record of study {record.study!r} given to the writer of {self.study_name!r}")
            if record.table is not table:
                raise ValueError(f"{type(record).__name__} among rows of {table.name!r}: write each kind by itself")
        first_ns, writer = self._reserve(table, len(records))
        rows = encoding.newest(to_table(records, first_ns, writer), table.key)
        last_ns = first_ns + len(records) - 1
        self._files.put(table.name, self.study_name, last_ns, rows.num_rows, writer, encoding.encode(rows))
        if self._time_to_look(table):
            self._merge(table)

    def _reserve(self, table: Table, rows: int) -> tuple[int, str]:
        """Times for ``rows`` rows that nobody saw before, and who writes them."""
        with self._lock:
            if self._pid != os.getpid():
                self._become_new()
            recover = table.name not in self._last_ns
            there = self._files.last_written(table.name, self.study_name, recover=recover)
            first = max(self._clock(), there + 1, self._last_ns.get(table.name, 0) + 1)
            self._last_ns[table.name] = first + rows - 1
            return first, self._origin

    def _become_new(self) -> None:
        # A forked process must not go on under its parent's name: two files would have one path.
        self._pid = os.getpid()
        self._origin = new_origin()
        self._last_ns: dict[str, int] = {}
        self._until_look: dict[str, int] = {}

    def _time_to_look(self, table: Table) -> bool:
        if not self._merge_every:
            return False
        with self._lock:
            if table.name not in self._until_look:
                self._until_look[table.name] = random.Random(self._origin).randrange(self._merge_every)
            left = self._until_look[table.name]
            self._until_look[table.name] = left - 1 if left else self._merge_every - 1
            return left == 0

    def _merge(self, table: Table) -> None:
        try:
            compaction.compact(self._files, table, self.study_name)
        except (OSError, pa.ArrowException) as problem:
            # The row is safe, and the next merge will try again.
            _log.warning("study %r: small files of %s were not merged: %s", self.study_name, table.name, problem)


def _open(files: Files, study: str, merge_every: int) -> Writer:
    return Writer(files, study, merge_every=merge_every)
