"""Writes a small store with the Branchpoint that is installed, to be kept: later versions must read it.

Run it before ``SCHEMA_VERSION`` is raised, and commit what it wrote:

    python tests/store/versions/make.py tests/store/versions/2
"""

import sys
from datetime import UTC, datetime

from branchpoint.store import (
    AffinityRecord,
    EpochRecord,
    FigureRecord,
    ProposalRecord,
    Store,
    StudyRecord,
    TrialRecord,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make(folder: str) -> None:
    """Every table; trials in small files, epochs in one that is large enough to bear statistics."""
    store = Store(folder)
    writer = store.writer("kept", merge_every=0)
    writer.study(StudyRecord(study="kept", dataset="sts", settings='{"trials": 3}', excluded=["P7"], started=NOON))
    for number, score in enumerate((0.25, 0.75, 0.5)):
        writer.trial(
            TrialRecord(
                study="kept",
                trial=f"{number}",
                state="COMPLETE",
                config=f'{{"number": {number}}}',
                metrics={"validation/score": score},
                started=NOON,
                finished=NOON,
            )
        )
    writer.trial(TrialRecord(study="kept", trial="2", attempt=2, state="FAILED", reason="out of memory"))
    writer.append([EpochRecord(study="kept", trial="1", epoch=n, metrics={"loss": 1 / n}) for n in range(1, 101)])
    writer.figures([FigureRecord(study="kept", label="best found", task="t", metric="dice", value=0.5)])
    writer.append(
        [
            AffinityRecord(
                study="kept",
                fingerprint="f",
                measure="excess",
                stage="all",
                recipient="a",
                source="b",
                mean=0.1,
                error=0.01,
                n=5,
            )
        ]
    )
    writer.append(
        [
            ProposalRecord(
                study="kept",
                fingerprint="f",
                evidence="excess",
                kind="grouping",
                networks=1,
                proposal='[["a", "b"]]',
                gain=0.1,
                macs=1.0,
            )
        ]
    )


if __name__ == "__main__":
    make(sys.argv[1])
