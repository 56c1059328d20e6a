"""The best trials of a study without reading the study: bounds first, then only the row groups that can matter."""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from branchpoint.store import encoding
from branchpoint.store.data_file import DataFile
from branchpoint.store.files import Files
from branchpoint.store.schema import TRIALS

_VERSION = ("attempt", "written_ns", "writer")  # the largest of a trial holds
_COLUMNS = ("trial", *_VERSION, "state", "stage", "metrics")

Version = tuple[int, int, str]


class _Block:
    """Rows that are read together: a row group whose bounds are known, or all files without bounds.

    Args:
        sources: files, and the row group of each (None: all of it).
        bounds: of the metrics of its COMPLETE rows; None where they are not known.
        parts: rows of each source, where they were read.
    """

    def __init__(
        self,
        sources: Sequence[tuple[pq.ParquetFile, int | None]],
        bounds: encoding.Bounds | None = None,
        parts: Sequence[pa.Table] | None = None,
    ) -> None:
        self._sources = sources
        self._bounds = bounds
        self._starts = list(itertools.accumulate((part.num_rows for part in parts or ()), initial=0))
        self._rows = None if parts is None else encoding.unite(TRIALS, parts, _COLUMNS)

    def rows(self) -> pa.Table:
        """``_COLUMNS`` of its rows; read once."""
        if self._rows is None:
            self._rows = encoding.unite(TRIALS, [_read(*self._sources[0], _COLUMNS)], _COLUMNS)
        return self._rows

    def whole_row(self, place: int) -> pa.Table:
        """All columns of the row at ``place`` of :meth:`rows`."""
        source = bisect.bisect_right(self._starts, place) - 1
        return _read(*self._sources[source], None).slice(place - self._starts[source], 1)

    def least_cost(self, metric: str, sign: float) -> float:
        """No row has a smaller ``-sign * metric``; infinite where no COMPLETE row has the metric."""
        if self._bounds is None:
            return -math.inf
        low, high = self._bounds.get(metric, (math.inf, -math.inf))
        return -high if sign > 0 else low

    def versions(self, trials: list[str]) -> pa.Table | None:
        """Trial and version of the rows of ``trials`` (sorted); None where statistics rule them out."""
        rows = self._rows
        if rows is None:
            file, group = self._sources[0]
            statistics = file.metadata.row_group(group).column(file.schema_arrow.names.index("trial")).statistics
            if statistics is not None and statistics.has_min_max:
                place = bisect.bisect_left(trials, statistics.min)
                if place == len(trials) or trials[place] > statistics.max:
                    return None
            rows = _read(file, group, ("trial", *_VERSION))
        return rows.filter(pc.is_in(rows["trial"], pa.array(trials, pa.string()))).select(["trial", *_VERSION])


@dataclass(frozen=True, order=True)
class _Candidate:
    """A COMPLETE row; sorts best first, equal values by trial."""

    cost: float
    trial: str
    version: Version
    block: _Block = field(compare=False)
    place: int = field(compare=False)


def best_rows(
    files: Files, listing: list[DataFile], metric: str, top: int, sign: float, stage: str | None
) -> tuple[pa.Table, list[float]]:
    """Rows of the ``top`` trials whose newest record is COMPLETE and whose ``sign * metric`` is largest; best first."""
    blocks = _blocks(files, listing)
    candidates = _by_cost(blocks, metric, sign, stage)
    winners: dict[str, _Candidate] = {}
    wanted = top
    # Some may be superseded by a later attempt; then more are looked at, twice as many each time.
    while len(winners) < top and (fresh := list(itertools.islice(candidates, wanted))):
        wanted *= 2
        newest = _newest_versions(blocks, sorted({candidate.trial for candidate in fresh}))
        for candidate in fresh:
            if newest[candidate.trial] == candidate.version:
                winners.setdefault(candidate.trial, candidate)
    chosen = list(winners.values())[:top]
    rows = encoding.unite(TRIALS, [candidate.block.whole_row(candidate.place) for candidate in chosen])
    return rows, [-sign * candidate.cost for candidate in chosen]


def _blocks(files: Files, listing: list[DataFile]) -> list[_Block]:
    opened = files.map(lambda listed: _open(files, listed), listing)
    blocks = [
        _Block([(file, group)], bounds[group])
        for file, bounds, _ in opened
        if bounds is not None
        for group in range(file.num_row_groups)
    ]
    unbounded = [(file, rows) for file, _, rows in opened if rows is not None]
    return [*blocks, _Block([(file, None) for file, _ in unbounded], None, [rows for _, rows in unbounded])]


def _open(files: Files, listed: DataFile) -> tuple[pq.ParquetFile, list[encoding.Bounds] | None, pa.Table | None]:
    small = listed.rows <= encoding.PLAIN_ROWS  # all of it is read below
    file = files.open(TRIALS, listed, studies=not small)
    bounds = None if small else encoding.metric_bounds(file.metadata)
    # Read at once, while several files are on their way.
    return file, bounds, files.read_opened(TRIALS, listed, file, _COLUMNS) if bounds is None else None


def _read(file: pq.ParquetFile, group: int | None, columns: Sequence[str] | None) -> pa.Table:
    return encoding.read_columns(TRIALS, file, columns, None if group is None else [group])


def _by_cost(blocks: list[_Block], metric: str, sign: float, stage: str | None) -> Iterator[_Candidate]:
    """COMPLETE rows, best first; a block is read no sooner than its bound demands."""
    unread = [(block.least_cost(metric, sign), number) for number, block in enumerate(blocks)]
    unread = [entry for entry in unread if entry[0] < math.inf]
    heapq.heapify(unread)
    found: list[tuple[_Candidate, int, Iterator[_Candidate]]] = []
    while unread or found:
        # On a tie with the bound the block is read first: equal values come by trial.
        if unread and (not found or unread[0][0] <= found[0][0].cost):
            number = heapq.heappop(unread)[1]
            _push(found, number, _of_block(blocks[number], metric, sign, stage))
        else:
            candidate, number, rest = heapq.heappop(found)
            yield candidate
            _push(found, number, rest)


def _push(
    found: list[tuple[_Candidate, int, Iterator[_Candidate]]], number: int, candidates: Iterator[_Candidate]
) -> None:
    first = next(candidates, None)
    if first is not None:
        heapq.heappush(found, (first, number, candidates))


def _of_block(block: _Block, metric: str, sign: float, stage: str | None) -> Iterator[_Candidate]:
    rows = block.rows()
    if rows.num_rows == 0:  # indices_nonzero of pyarrow 25 crashes on no chunks
        return
    wanted = pc.equal(rows["state"], "COMPLETE")
    if stage is not None:
        wanted = pc.and_(wanted, pc.equal(rows["stage"], stage))
    values = encoding.metric_values(rows, metric)
    places = pc.indices_nonzero(pc.and_(wanted, pc.is_finite(values)))
    table = rows.select(["trial", *_VERSION]).append_column("cost", pc.multiply(values, -sign))
    table = table.take(places).append_column("place", places)
    # Not all at once: few are ever asked for.
    table = table.take(pc.sort_indices(table, sort_keys=[("cost", "ascending"), ("trial", "ascending")]))
    for start in range(0, table.num_rows, 16):
        for row in table.slice(start, 16).to_pylist():
            version = (row["attempt"], row["written_ns"], row["writer"])
            yield _Candidate(row["cost"], row["trial"], version, block, row["place"])


def _newest_versions(blocks: list[_Block], trials: list[str]) -> dict[str, Version]:
    newest: dict[str, Version] = {}
    for block in blocks:
        rows = block.versions(trials)
        for row in rows.to_pylist() if rows is not None else []:
            version = (row["attempt"], row["written_ns"], row["writer"])
            newest[row["trial"]] = max(newest.get(row["trial"], version), version)
    return newest
