"""Keeps Ray Tune from running one trial at a time where trials are shorter than the start of a worker.

With ``reuse_actors`` a process whose run has ended is given to any run that still waits for its own process, and that
process, half started, is dropped. Where runs are short, each next process is dropped the same way and a single one
does all the work. So a run that has ended waits until every run that was handed out has begun.
"""

from __future__ import annotations

import time
from pathlib import Path

PATIENCE_SECONDS = 60.0
_lost_patience = False


class StartGate:
    """``folder``: seen by driver and workers, empty at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def handed_out(self, name: str) -> None:
        """The driver gave the run ``name`` to Tune."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).touch()

    def begun(self, name: str) -> None:
        """A worker began with it."""
        (self.folder / name).unlink(missing_ok=True)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Until every run that was handed out has begun; whether it did.

        A cluster that is too full to start one is waited for once in a process, not at each end of a run.
        """
        global _lost_patience
        end = time.monotonic() + (0.0 if _lost_patience else seconds)
        while self._somebody_waits():
            if time.monotonic() >= end:
                _lost_patience = True
                return False
            time.sleep(0.1)
        return True

    def _somebody_waits(self) -> bool:
        # The folder holds those alone who wait, so that a look at it does not grow with the study.
        return self.folder.is_dir() and any(self.folder.iterdir())
