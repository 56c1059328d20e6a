"""The tables of the results store: columns and keys; their rows are the records of ``records.py``.

Every row also bears ``written_ns`` (when it was written, in ns since 1970, growing for each writer) and ``writer``
(16 hex digits). Together they name one written row; of the rows with one key, the one with the largest
``(written_ns, writer)`` holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

ORDER = ("written_ns", "writer")

SCHEMA_VERSION = 2
"""Stated in each file's metadata. 1: nothing is stated, and names bear no checksum. 2: both. Columns that a later
version adds do not raise it; a change that an older reader would misread does."""

_TEXT, _INT, _COUNT, _REAL = pa.string(), pa.int32(), pa.int64(), pa.float64()
_TIME, _METRICS, _VERSIONS = pa.timestamp("us", "UTC"), pa.map_(_TEXT, _REAL), pa.map_(_TEXT, _TEXT)


@dataclass(frozen=True)
class Table:
    """One table: folder name, columns, and the columns that make a row the same row when it is written again."""

    name: str
    key: tuple[str, ...]
    schema: pa.Schema

    @cached_property
    def row_type(self) -> pa.StructType:
        """A whole row as one value."""
        return pa.struct(list(self.schema))


def _table(name: str, key: str, **columns: pa.DataType) -> Table:
    return Table(name, tuple(key.split()), pa.schema({**columns, "written_ns": _COUNT, "writer": _TEXT}))


STUDIES = _table(
    "studies",
    "study",
    study=_TEXT,
    dataset=_TEXT,
    release=_TEXT,
    config=_TEXT,
    settings=_TEXT,
    excluded=pa.list_(_TEXT),
    versions=_VERSIONS,
    started=_TIME,
)
TRIALS = _table(
    "trials",
    "study trial attempt",
    study=_TEXT,
    trial=_TEXT,
    attempt=_INT,
    fingerprint=_TEXT,
    candidate=_TEXT,
    fold=_INT,
    seed=_COUNT,
    stage=_TEXT,
    state=_TEXT,
    reason=_TEXT,
    notes=pa.list_(_TEXT),
    config=_TEXT,
    metrics=_METRICS,
    parameters=_COUNT,
    macs=_COUNT,
    peak_memory_bytes=_COUNT,
    epoch_seconds=_REAL,
    gpu_seconds=_REAL,
    versions=_VERSIONS,
    started=_TIME,
    finished=_TIME,
)
EPOCHS = _table(
    "epochs",
    "study trial attempt epoch",
    study=_TEXT,
    trial=_TEXT,
    attempt=_INT,
    epoch=_INT,
    metrics=_METRICS,
    seconds=_REAL,
)
FIGURES = _table(
    "figures",
    "study candidate label split fold center task metric",
    study=_TEXT,
    candidate=_TEXT,
    label=_TEXT,
    kind=_TEXT,
    split=_TEXT,
    fold=_INT,
    center=_TEXT,
    task=_TEXT,
    metric=_TEXT,
    value=_REAL,
    low=_REAL,
    high=_REAL,
    n=_COUNT,
    error=_REAL,
    p=_REAL,
    p_adjusted=_REAL,
    resampled=_TEXT,
)
AFFINITIES = _table(
    "affinities",
    "study fingerprint measure stage recipient source",
    study=_TEXT,
    fingerprint=_TEXT,
    measure=_TEXT,
    stage=_TEXT,
    recipient=_TEXT,
    source=_TEXT,
    mean=_REAL,
    error=_REAL,
    n=_COUNT,
)
PROPOSALS = _table(
    "proposals",
    "study fingerprint evidence kind networks",
    study=_TEXT,
    fingerprint=_TEXT,
    evidence=_TEXT,
    kind=_TEXT,
    networks=_INT,
    proposal=_TEXT,
    gain=_REAL,
    macs=_REAL,
    config=_TEXT,
    note=_TEXT,
)
TABLES: dict[str, Table] = {table.name: table for table in (STUDIES, TRIALS, EPOCHS, FIGURES, AFFINITIES, PROPOSALS)}
