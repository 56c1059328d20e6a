"""SQL over the newest rows, in a DuckDB that can read them and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from branchpoint.store import encoding
from branchpoint.store.data_file import DataFile, Listing
from branchpoint.store.files import Files
from branchpoint.store.schema import AFFINITIES, EPOCHS, FIGURES, ORDER, PROPOSALS, STUDIES, TRIALS, Table


@dataclass(frozen=True)
class View:
    """A table as queries see it: for each ``key`` the row that is last by ``order``."""

    table: Table
    key: tuple[str, ...]
    order: tuple[str, ...] = ORDER


VIEWS = {
    "studies": View(STUDIES, STUDIES.key),
    "trials": View(TRIALS, ("study", "trial"), ("attempt", *ORDER)),
    "attempts": View(TRIALS, TRIALS.key),
    "epochs": View(EPOCHS, EPOCHS.key),
    "figures": View(FIGURES, FIGURES.key),
    "affinities": View(AFFINITIES, AFFINITIES.key),
    "proposals": View(PROPOSALS, PROPOSALS.key),
}


_READING = {"SELECT", "EXPLAIN", "MULTI"}  # a PIVOT is several statements to DuckDB
_LOCKS = (
    "python_enable_replacements = false",  # else variables of this program are tables
    "enable_external_access = false",
    "autoload_known_extensions = false",
    "autoinstall_known_extensions = false",
    "allow_community_extensions = false",
    "allow_persistent_secrets = false",
    "disabled_filesystems = 'LocalFileSystem'",
    "lock_configuration = true",
)


def run(files: Files, query: str, parameters: Sequence[Any] | None) -> pa.Table:
    """Result of ``query`` over those of :data:`VIEWS` that it names (over all where it names none).

    DuckDB sees one database in memory, and in it Arrow data that are read here: it opens no file and no connection.

    Raises:
        ValueError: the query has a mistake or is not one SELECT.
    """
    named = [name for name in VIEWS if name in query.lower()] or list(VIEWS)
    tables = {VIEWS[name].table.name for name in named}

    def work(listing: Listing) -> pa.Table | Exception:
        import duckdb

        # What is wrong with the query is no reason to look for damaged files.
        mistakes = (
            duckdb.ParserException,
            duckdb.BinderException,
            duckdb.CatalogException,
            duckdb.ConversionException,
            duckdb.PermissionException,
        )
        with duckdb.connect(":memory:", config={"temp_directory": "", "max_temp_directory_size": "0KB"}) as connection:
            for setting in _LOCKS:
                connection.execute(f"SET {setting}")
            try:
                _refuse_writing(connection, query)
                for name in named:
                    connection.register(name, _rows(files, VIEWS[name], listing[VIEWS[name].table.name]))
                relation = connection.sql(query, params=parameters)
                return pa.table({}) if relation is None else relation.to_arrow_table()
            except (*mistakes, _NotReadingError) as problem:
                return problem

    try:
        found = files.consistently(tables, None, work)
    except Exception as problem:
        if type(problem).__module__ not in ("_duckdb", "duckdb"):
            raise
        found = problem
    if isinstance(found, Exception):
        raise ValueError(f"the SQL query cannot be answered: {found}") from found
    return found


class _NotReadingError(ValueError):
    """A query that is something else than one SELECT."""


def _refuse_writing(connection: Any, query: str) -> None:
    try:
        kinds = [statement.type.name for statement in connection.extract_statements(query.encode().decode())]
    except UnicodeEncodeError:
        raise _NotReadingError("it holds half of a character") from None
    except ValueError:  # a statement that the Python module has no name for
        kinds = ["special"]
    if len(kinds) != 1 or kinds[0] not in _READING:
        found = f"{len(kinds)} statements" if len(kinds) != 1 else f"a {kinds[0]} statement"
        tables = ", ".join(VIEWS)
        raise _NotReadingError(
            f"it is {found}: ask with one SELECT over the tables {tables}; SQL can only read the store"
        )


def _rows(files: Files, view: View, listed: list[DataFile]) -> Any:
    """The rows that hold, as something that DuckDB scans: what a query does not need of a large file is not read."""
    import pyarrow.dataset as pads

    clean, rows = _apart(files, view, listed)
    if not clean:
        return rows
    schema = _schema(view.table, [rows.schema, *(files.open(view.table, file).schema_arrow for file in clean)])
    dataset = pads.FileSystemDataset.from_paths(
        [file.path for file in clean],
        schema=schema,
        format=pads.ParquetFileFormat(),
        filesystem=files.place.fs,
    )
    return pads.dataset([dataset, pads.dataset(rows)], schema=schema) if rows.num_rows else dataset


def _schema(table: Table, schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The columns of ``table``, then those that a newer version added, where all files have one type for them."""
    added: dict[str, set[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            if field.name not in table.schema.names:
                added.setdefault(field.name, set()).add(field.type)
    agreed = [pa.field(name, next(iter(types))) for name, types in added.items() if len(types) == 1]
    return pa.schema([*table.schema, *agreed])


def _apart(files: Files, view: View, listed: list[DataFile]) -> tuple[list[DataFile], pa.Table]:
    """Large files all of whose rows hold, and the rows that hold of the other files.

    Small ones are read whole at once: to open one again, or to scan it, takes longer than its rows do.
    """
    import numpy as np

    table, needed = view.table, list(dict.fromkeys([*view.key, *view.order]))
    parts = files.map(lambda file: files.read(table, file, None if _is_small(file) else needed), listed)
    keys = [part.select(needed) for part in parts]
    last = encoding.newest_places(encoding.unite(table, keys, needed), view.key, view.order)
    starts = np.cumsum([0, *(part.num_rows for part in keys)])
    holds = np.zeros(starts[-1], dtype=bool)
    holds[last.to_numpy()] = True
    masks = [holds[start:end] for start, end in itertools.pairwise(starts)]
    read = list(zip(listed, parts, masks, strict=True))
    clean = [file for file, _, mask in read if mask.all() and not _is_small(file)]
    small = [_those(part, mask) for file, part, mask in read if _is_small(file)]
    dirty = [(file, mask) for file, _, mask in read if not mask.all() and not _is_small(file)]
    large = files.map(lambda item: _those(files.read(table, item[0], None), item[1]), dirty)
    return clean, encoding.unite(table, [*small, *large])


def _is_small(file: DataFile) -> bool:
    return file.rows <= encoding.PLAIN_ROWS


def _those(rows: pa.Table, mask: Any) -> pa.Table:
    return rows if mask.all() else rows.filter(pa.array(mask))
