"""Which Parquet files belong to the store and are whole. The others are left out of what is read, and named."""

from __future__ import annotations

import zlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from branchpoint.store import encoding
from branchpoint.store.data_file import DataFile
from branchpoint.store.schema import ORDER, SCHEMA_VERSION, Table


class UnusableError(ValueError):
    """A file that cannot be read as rows of its table; the text says why."""


def check_content(listed: DataFile, checksum: int) -> None:
    """Refuse a file whose bytes changed, before a Parquet reader sees them: some damages end the whole process there.

    Raises:
        UnusableError: its CRC-32 is not the one that its name states.
    """
    if listed.checksum is not None and listed.checksum != checksum:
        raise UnusableError("it is damaged: its content does not match the checksum in its name")


def check_footer(table: Table, listed: DataFile, file: pq.ParquetFile, *, studies: bool = True) -> None:
    """Refuse a file by what its footer says, and (``studies``) by the studies of its rows.

    Raises:
        UnusableError: it was written by a newer version, lacks a column of the key, or holds another study's rows.
    """
    version = encoding.schema_version(file.metadata)
    if version > SCHEMA_VERSION:
        raise UnusableError(
            f"a newer Branchpoint wrote it (schema version {version}; this one reads up to {SCHEMA_VERSION}): "
            "update Branchpoint to read it"
        )
    names = file.schema_arrow.names
    absent = [name for name in (*table.key, *ORDER) if name not in names]
    if absent:
        raise UnusableError(f"it has no column {', '.join(absent)}: another program wrote it")
    if len(set(names)) < len(names):
        raise UnusableError("two of its columns have one name: another program wrote it")
    if studies:
        _refuse_others(listed, _studies(file))


def check_studies(listed: DataFile, column: pa.ChunkedArray) -> None:
    """Refuse rows (by their column ``study``) that are not of the study in whose folder they lie.

    Raises:
        UnusableError: they are of another one, or of none.
    """
    _refuse_others(listed, set(pc.unique(column).to_pylist()))


def _refuse_others(listed: DataFile, found: set[str | None]) -> None:
    others = found - {listed.study}
    if others:
        raise UnusableError(f"it holds rows of study {sorted(map(str, others))[0]!r} in the folder of {listed.study!r}")


def _studies(file: pq.ParquetFile) -> set[str | None]:
    place = file.schema_arrow.names.index("study")
    found: set[str | None] = set()
    for group in range(file.num_row_groups):
        column = file.metadata.row_group(group).column(place)
        statistics = column.statistics if column.path_in_schema == "study" else None
        if statistics is None or not statistics.has_min_max or statistics.null_count:
            rows = file.read_row_groups([group], columns=["study"], use_threads=False)
            found |= set(pc.unique(rows["study"]).to_pylist())
        else:
            found |= {statistics.min, statistics.max}
    return found


def reason_against(table: Table, listed: DataFile, content: bytes) -> str | None:
    """Why a file cannot be used, after reading every row of it; ``None`` where it can."""
    try:
        check_content(listed, zlib.crc32(content))
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            check_footer(table, listed, file)
            rows = encoding.read_columns(table, file, None)
            encoding.metric_bounds(file.metadata)
            encoding.unite(table, [rows])
    except UnusableError as problem:
        return str(problem)
    except Exception as problem:  # pyarrow raises OSError, ValueError, TypeError and others for damaged bytes
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        return f"it is damaged: {first[:200]}"
    return None
