"""Optuna's journal of one study, in a file that survives a killed driver.

Two things are added to Optuna's own storage. A kill in the middle of a write leaves an incomplete last line: Optuna
skips it, but appends its next record to that same line, which loses that record and makes the file unreadable from the
one after, so the torn line is cut off first. And a kill while Optuna holds its lock file makes the next driver wait 30
seconds: the study's own lock, which the operating system releases when its holder dies, already keeps other drivers
out.
"""

from __future__ import annotations

from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock


class _HeldByStudy(JournalFileOpenLock):
    """A lock that does nothing, as the caller of :func:`open_journal` holds the study's lock."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def open_journal(path: Path) -> JournalStorage:
    """Optuna's storage in the file ``path``, which is made where it is missing.

    A last line that a kill left incomplete is cut off. Call this only while holding the lock of the study.
    """
    if path.exists():
        with path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_HeldByStudy(str(path))))
