"""SQL over the newest rows: DuckDB reads the files itself, except those with rows that no longer hold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from branchpoint.store import encoding
from branchpoint.store.files import DataFile, Files, Listing
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


def run(files: Files, query: str, parameters: Sequence[Any] | None) -> pa.Table:
    """Result of ``query`` over those of :data:`VIEWS` that it names (over all where it names none)."""
    named = [name for name in VIEWS if name in query.lower()] or list(VIEWS)
    tables = {VIEWS[name].table.name for name in named}

    def work(listing: Listing) -> pa.Table:
        import duckdb

        with duckdb.connect() as connection:
            for name in named:
                _define(connection, files, name, listing[VIEWS[name].table.name])
            return connection.sql(query, params=parameters).to_arrow_table()

    return files.consistently(tables, None, work)


def _define(connection: Any, files: Files, name: str, listed: list[DataFile]) -> None:
    view = VIEWS[name]
    clean, dirty = _apart(files, view, listed)
    connection.register(f"{name}_rows", dirty)
    parts = [f"SELECT * FROM {name}_rows"]
    paths = [file.path for file in clean]
    if paths and files.is_local:
        # DuckDB's own reader is many times as fast on maps, but it knows local paths alone.
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        parts.append(f"SELECT * FROM read_parquet([{quoted}], union_by_name = true, hive_partitioning = false)")
    elif paths:
        import pyarrow.dataset as pads

        dataset = pads.FileSystemDataset.from_paths(
            paths, schema=view.table.schema, format=pads.ParquetFileFormat(), filesystem=files.fs
        )
        connection.register(f"{name}_files", dataset)
        parts.append(f"SELECT * FROM {name}_files")
    connection.execute(f"CREATE TEMP VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")


def _apart(files: Files, view: View, listed: list[DataFile]) -> tuple[list[DataFile], pa.Table]:
    """Files all of whose rows hold, and the rows that hold of the other files."""
    import numpy as np

    needed = list(dict.fromkeys([*view.key, *view.order]))
    keys = files.map(lambda file: encoding.read_columns(files.open(file), needed), listed)
    last = encoding.newest_places(encoding.unite(view.table, keys, needed), view.key, view.order)
    starts = np.cumsum([0, *(part.num_rows for part in keys)])
    holds = np.zeros(starts[-1], dtype=bool)
    holds[last.to_numpy()] = True
    masks = [holds[start:end] for start, end in itertools.pairwise(starts)]
    clean = [file for file, mask in zip(listed, masks, strict=True) if mask.all()]
    dirty = [(file, pa.array(mask)) for file, mask in zip(listed, masks, strict=True) if not mask.all()]
    parts = files.map(lambda item: encoding.read_columns(files.open(item[0]), None).filter(item[1]), dirty)
    return clean, encoding.unite(view.table, parts)
