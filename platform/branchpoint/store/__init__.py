"""The results store: plain Parquet, written while a search runs, readable by any Parquet reader at any moment."""

from branchpoint.store.records import (
    STATES,
    AffinityRecord,
    EpochRecord,
    FigureRecord,
    ProposalRecord,
    Record,
    State,
    StudyRecord,
    TrialRecord,
)
from branchpoint.store.store import Store
from branchpoint.store.writer import Writer

__all__ = [
    "STATES",
    "AffinityRecord",
    "EpochRecord",
    "FigureRecord",
    "ProposalRecord",
    "Record",
    "State",
    "Store",
    "StudyRecord",
    "TrialRecord",
    "Writer",
]
