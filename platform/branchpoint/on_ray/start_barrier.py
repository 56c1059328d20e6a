"""Keeps Ray Tune from running one trial at a time when trials are shorter than the start of a worker.

With ``reuse_actors``, Tune gives a process whose trial has ended to any trial that still waits for its own process, and
drops that process, half started. With short trials every new process is dropped in this way, and a single one runs them
all. So a trial that has ended waits until every trial that was handed out has begun.
"""

from __future__ import annotations

import time
from pathlib import Path

TIMEOUT_SECONDS = 60.0
_timed_out = False


class StartBarrier:
    """Trials that were handed out and have not begun, as files in ``folder``, which driver and workers see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def handed_out(self, name: str) -> None:
        """Note that the driver gave the run ``name`` to Tune."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).touch()

    def begun(self, name: str) -> None:
        """Note that a worker has begun the run ``name``."""
        (self.folder / name).unlink(missing_ok=True)

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> bool:
        """Wait until every run that was handed out has begun, and return whether they have.

        In a cluster too full to start a run, a process waits for the full time only once, not after each run.
        """
        global _timed_out
        end = time.monotonic() + (0.0 if _timed_out else seconds)
        while self._waiting():
            if time.monotonic() >= end:
                _timed_out = True
                return False
            time.sleep(0.1)
        return True

    def _waiting(self) -> bool:
        # The folder holds only runs that wait, so that looking at it does not slow down as the study grows.
        return self.folder.is_dir() and any(self.folder.iterdir())
