"""One file lock for the whole package: exclusive between processes, and released when its holder dies."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


class LockHeldError(RuntimeError):
    """Another process holds the lock; ``holder`` names it as ``process 4711 on host``, as far as it is known."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by {holder}")
        self.holder = holder


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock ``path`` during the block; the operating system frees it however this process ends.

    Args:
        path: the lock file, which is created and stays; its content names the last holder.
        wait: wait for another holder instead of raising.

    Raises:
        LockHeldError: another process holds the lock and ``wait`` is false.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise LockHeldError(path, _last_holder(path) or "another process") from None
    try:
        path.with_suffix(".holder").write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()


def holder(path: Path) -> str:
    """Who holds the lock ``path``, as ``process 4711 on host``; ``""`` where nobody does.

    On this machine only a process that lives can hold it. Of another machine nobody can tell: there it is the last one.
    """
    found = _last_holder(path)
    process = re.fullmatch(r"process (\d+) on (.+)", found)
    if process and process[2] == socket.gethostname() and not psutil.pid_exists(int(process[1])):
        return ""
    return found


def _last_holder(path: Path) -> str:
    try:
        return path.with_suffix(".holder").read_text().strip()
    except OSError:
        return ""
