"""``Store``: the results of all studies under one path or URI, to write and to query."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa
from pyarrow import fs as pafs

from branchpoint.store import compaction, encoding, queries
from branchpoint.store.best import best_rows
from branchpoint.store.data_file import DataFile
from branchpoint.store.files import Files
from branchpoint.store.place import StorePlace
from branchpoint.store.queries import VIEWS, View
from branchpoint.store.schema import ORDER, TABLES, Table
from branchpoint.store.writer import LOOK_EVERY, Writer


class Store:
    """Plain Parquet files under ``uri``: ``studies/``, ``trials/``, ``epochs/``, ``figures/``, ``affinities/`` and
    ``proposals/``, each by study.

    Any Parquet reader can read them at any moment; it may see a row that was written again beside the former one, and
    then the one with the largest ``(written_ns, writer)`` holds. The queries here show it alone.

    Args:
        uri: local path, or the URI of an object store such as ``s3://bucket/results``.
        filesystem: a ``pyarrow.fs.FileSystem`` on which ``uri`` is a plain path, for one that no URI names.
    """

    def __init__(self, uri: str, filesystem: pafs.FileSystem | None = None) -> None:
        self.uri = str(uri)
        self._files = Files(StorePlace(self.uri, filesystem))

    @property
    def left_out(self) -> dict[str, str]:
        """Files that could not be used in what was read so far, and why: damaged, foreign, of a newer version."""
        return self._files.left_out

    def require(self) -> Store:
        """This store, where its folder is there.

        Raises:
            ValueError: there is no such folder.
        """
        if not self._files.place.exists():
            raise ValueError(f"there is no results store at {self._files.place.root}: no such folder")
        return self

    def writer(self, study: str, *, merge_every: int = LOOK_EVERY) -> Writer:
        """A writer for ``study``; see :class:`Writer`."""
        return Writer(self._files, study, merge_every=merge_every)

    def studies(self) -> pa.Table:
        """One row for each study that was described."""
        return self._read(VIEWS["studies"], None)

    def trials(
        self,
        study: str | None = None,
        *,
        attempts: Literal["latest", "all"] = "latest",
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """One row for each trial (its latest attempt) or for each attempt, sorted by study, trial and attempt.

        Args:
            study: None for all.
            columns: None for all; ``config`` is by far the largest.
        """
        return self._read(VIEWS["trials" if attempts == "latest" else "attempts"], study, columns)

    def epochs(self, study: str | None = None, *, columns: Sequence[str] | None = None) -> pa.Table:
        """One row for each epoch of each attempt, sorted by study, trial, attempt and epoch."""
        return self._read(VIEWS["epochs"], study, columns)

    def figures(self, study: str | None = None) -> pa.Table:
        """Reported figures with their intervals."""
        return self._read(VIEWS["figures"], study)

    def affinities(self, study: str | None = None) -> pa.Table:
        """Measured relations of tasks, an entry of a matrix in each row."""
        return self._read(VIEWS["affinities"], study)

    def proposals(self, study: str | None = None) -> pa.Table:
        """Groupings and sharing trees that follow from measured relations, in the order in which they were written."""
        view = VIEWS["proposals"]
        rows = self._read(view, study, view.table.schema.names)
        return rows.sort_by([(name, "ascending") for name in ORDER]).drop_columns(list(ORDER))

    def best(
        self, study: str, metric: str, top: int = 1, maximize: bool = True, *, stage: str | None = None
    ) -> list[dict[str, Any]]:
        """The ``top`` best trials, best first; equal ones by name of the trial.

        Only trials whose latest attempt is COMPLETE and whose value is finite take part. Reads little more than the
        row groups that hold them.

        Args:
            metric: such as ``validation/score``.
            stage: ``search`` or ``final``; None for both.

        Returns:
            all columns of the trial, ``config`` and ``metrics`` as dicts, and its ``value``.

        Raises:
            ValueError: there is no such study, or none of its COMPLETE trials has such a metric.
        """
        if top < 1:
            raise ValueError(f"top is {top}: ask for at least one trial")
        sign = 1.0 if maximize else -1.0
        rows, values = self._files.consistently(
            ["trials"], study, lambda listing: best_rows(self._files, listing["trials"], metric, top, sign, stage)
        )
        if not values:
            self._refuse_unknown(study, metric)
        found = []
        for row, value in zip(rows.to_pylist(), values, strict=True):
            maps = {name: dict(row[name] or ()) for name in ("metrics", "versions")}
            found.append({**row, **maps, "config": _config(row["config"]), "value": value})
        return found

    def _refuse_unknown(self, study: str, metric: str) -> None:
        self.require()
        rows = self.trials(study, columns=["state", "metrics"])
        if rows.num_rows == 0:
            known = sorted(set(self.trials(columns=[])["study"].to_pylist()))
            raise ValueError(
                f"no trials of study {study!r} in {self._files.place.root}; there are: {', '.join(known) or 'none'}"
            )
        complete = [dict(row["metrics"] or []) for row in rows.to_pylist() if row["state"] == "COMPLETE"]
        names = sorted({name for metrics in complete for name in metrics})
        if names and metric not in names:
            raise ValueError(
                f"no COMPLETE trial of study {study!r} has metric {metric!r}; they have {', '.join(names)}"
            )

    def sql(self, query: str, parameters: Sequence[Any] | None = None) -> pa.Table:
        """Result of an SQL query (DuckDB) over ``studies``, ``trials`` (latest attempts), ``attempts`` (all attempts),
        ``epochs``, ``figures``, ``affinities`` and ``proposals``, which can read these and nothing else: no files, no
        network, no settings, and nothing is written.

        Metrics are maps: ``SELECT trial, metrics['validation/score'] FROM trials``.

        Raises:
            ValueError: the query has a mistake, is not one SELECT, or names what is not there.
        """
        return queries.run(self._files, query, parameters)

    def _read(self, view: View, study: str | None, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of ``view``, without when and by whom they were written; with ``columns`` those and the key."""
        table = view.table
        for name in columns or ():
            if name not in table.schema.names:
                raise ValueError(f"column {name!r}: table {table.name} has {', '.join(table.schema.names)}")
        needed = None if columns is None else list(dict.fromkeys([*table.key, *columns, *ORDER]))
        rows = self._files.consistently(
            [table.name], study, lambda listing: self._load(table, listing[table.name], needed)
        )
        return encoding.newest(rows, view.key, view.order).drop_columns([n for n in ORDER if n not in (columns or ())])

    def _load(self, table: Table, files: list[DataFile], columns: Sequence[str] | None) -> pa.Table:
        parts = self._files.map(lambda file: self._files.read(table, file, columns), files)
        return encoding.unite(table, parts, columns)

    def compact(self, study: str | None = None) -> None:
        """Merges all small files at once; safe at any moment, and never needed: writers do it as they go."""
        for name, table in TABLES.items():
            for owner in {file.study for file in self._files.data_files(name, study)}:
                compaction.compact(self._files, table, owner, fan_in=2)


def _config(text: str | None) -> dict[str, Any]:
    """The Config of a row; empty where the row has none, or has something else."""
    try:
        config = json.loads(text or "{}")
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}
