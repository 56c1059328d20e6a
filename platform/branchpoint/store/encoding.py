"""Tables to Parquet bytes and back, and what holds when several rows have one key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from branchpoint.store.schema import ORDER, SCHEMA_VERSION, Table

ROW_GROUP_ROWS = 4096
PLAIN_ROWS = 64
_BOUNDS = b"branchpoint.metric_bounds"
_SCHEMA = b"branchpoint.schema"
_DICTIONARY = (
    "study",
    "stage",
    "state",
    "reason",
    "dataset",
    "release",
    "kind",
    "split",
    "task",
    "metric",
    "label",
    "writer",
    "measure",
    "recipient",
    "source",
    "evidence",
    "metrics.key_value.key",
    "versions.key_value.key",
    "versions.key_value.value",
)

Bounds = dict[str, tuple[float, float]]


def newest(rows: pa.Table, key: Sequence[str], order: Sequence[str] = ORDER) -> pa.Table:
    """For each ``key`` the row that is last by ``order``; sorted by ``key``."""
    return rows if rows.num_rows < 2 else rows.take(newest_places(rows, key, order))


def newest_places(rows: pa.Table, key: Sequence[str], order: Sequence[str] = ORDER) -> pa.ChunkedArray:
    """Where those rows are; sorted by ``key``."""
    by_time = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in order])
    keys = rows.select(list(key)).take(by_time).append_column("place", by_time)
    last = keys.group_by(list(key), use_threads=False).aggregate([("place", "last")])
    return last.sort_by([(name, "ascending") for name in key])["place_last"]


def encode(rows: pa.Table) -> pa.Buffer:
    """Parquet bytes: bare for a few rows, where speed of writing matters; compressed and with statistics for many."""
    sink = pa.BufferOutputStream()
    few = rows.num_rows <= PLAIN_ROWS
    how: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    if not few:
        dictionary = [name for name in _DICTIONARY if name.split(".")[0] in rows.column_names]
        how = {"compression": "zstd", "use_dictionary": dictionary}
    with pq.ParquetWriter(sink, rows.schema, store_schema=False, **how) as out:
        out.add_key_value_metadata({_SCHEMA: str(SCHEMA_VERSION)})
        if few:
            out.write_table(rows)
            return _closed(out, sink)
        bounds = []
        for start in range(0, rows.num_rows, ROW_GROUP_ROWS):
            group = rows.slice(start, ROW_GROUP_ROWS)
            out.write_table(group, row_group_size=ROW_GROUP_ROWS)
            bounds.append(_metric_bounds(group) if "state" in rows.column_names else {})
        out.add_key_value_metadata({_BOUNDS: json.dumps(bounds)})
        return _closed(out, sink)


def _closed(out: pq.ParquetWriter, sink: pa.BufferOutputStream) -> pa.Buffer:
    out.close()
    return sink.getvalue()


def schema_version(metadata: pq.FileMetaData) -> int:
    """Version of the store's schema that a file states; 1 for files from before it was stated.

    Raises:
        ValueError: it states something that is no version.
    """
    text = (metadata.metadata or {}).get(_SCHEMA, b"1")
    if not text.isdigit():
        raise ValueError(f"its schema version is {text!r}")
    return int(text)


def metric_bounds(metadata: pq.FileMetaData) -> list[Bounds] | None:
    """Smallest and largest value of each metric among COMPLETE rows, per row group; None where a file has none.

    Parquet's own statistics do not see into a map; these let a search for the best value skip row groups.
    """
    text = (metadata.metadata or {}).get(_BOUNDS)
    return None if text is None else json.loads(text)


def _metric_bounds(rows: pa.Table) -> Bounds:
    complete = rows.filter(pc.equal(rows["state"], "COMPLETE"))["metrics"]
    pairs = complete.cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.float64())])))
    flat = pc.list_flatten(pairs)
    entries = pa.table({"key": pc.struct_field(flat, "key"), "value": pc.struct_field(flat, "value")})
    entries = entries.filter(pc.is_finite(entries["value"]))
    found = entries.group_by("key").aggregate([("value", "min"), ("value", "max")]).to_pylist()
    return {entry["key"]: (entry["value_min"], entry["value_max"]) for entry in found}


def metric_values(rows: pa.Table, metric: str) -> pa.ChunkedArray:
    """Value of ``metric`` for each row; null where a row lacks it."""
    if rows.num_rows == 0:
        return pa.chunked_array([], pa.float64())
    return pc.map_lookup(rows["metrics"], pa.scalar(metric), "first")


def unite(
    table: Table, parts: Sequence[pa.Table], columns: Sequence[str] | None = None, *, keep_all: bool = False
) -> pa.Table:
    """All ``parts`` as one; columns that an older file lacks are null, those of a newer one are kept.

    Args:
        keep_all: raise where additional columns have types that do not go together, rather than drop them.
    """
    schema = table.schema
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns if name in schema.names])
    try:
        return pa.concat_tables([schema.empty_table(), *parts], promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        if keep_all:
            raise
        known = [part.select([name for name in part.column_names if name in schema.names]) for part in parts]
        return pa.concat_tables([schema.empty_table(), *known], promote_options="permissive")


def read_columns(
    table: Table, file: pq.ParquetFile, columns: Sequence[str] | None, row_groups: list[int] | None = None
) -> pa.Table:
    """``columns`` that ``file`` has (None: all), of ``row_groups`` (None: all), in the types of ``table``.

    Raises:
        ValueError: a column has another type, or a row lacks a part of its key.
    """
    wanted: list[str] | None = None
    if columns is not None:
        present = set(file.schema_arrow.names)
        wanted = list(dict.fromkeys(name for name in columns if name in present))
    if row_groups is not None:
        rows = file.read_row_groups(row_groups, columns=wanted, use_threads=False)
    else:
        # Handing a few kilobytes to other threads takes longer than decoding them.
        rows = file.read(columns=wanted, use_threads=file.metadata.num_rows > ROW_GROUP_ROWS)
    return _conformed(table, rows)


def _conformed(table: Table, rows: pa.Table) -> pa.Table:
    rows.validate(full=True)  # text that is not UTF-8 would fail later, where nobody knows the file any more
    for place, field in enumerate(rows.schema):
        if field.name not in table.schema.names:
            continue
        wanted = table.schema.field(field.name).type
        if field.type != wanted:
            try:
                rows = rows.set_column(place, pa.field(field.name, wanted), rows.column(place).cast(wanted))
            except pa.ArrowException as problem:
                raise ValueError(f"column {field.name} has type {field.type} in place of {wanted}") from problem
        if field.name in (*table.key, *ORDER) and rows.column(place).null_count:
            raise ValueError(f"a row has no {field.name}")
    return rows
