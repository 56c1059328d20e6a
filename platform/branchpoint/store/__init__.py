"""The results store: plain Parquet, written while a search runs, readable by any Parquet reader at any moment."""

from branchpoint.store.schema import (
    STATES,
    EpochRecord,
    FigureRecord,
    Record,
    State,
    StudyRecord,
    TrialRecord,
)
from branchpoint.store.store import Store
from branchpoint.store.writer import Writer

__all__ = [
    "STATES",
    "EpochRecord",
    "FigureRecord",
    "Record",
    "State",
    "Store",
    "StudyRecord",
    "TrialRecord",
    "Writer",
]
