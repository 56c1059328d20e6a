"""A parallel map that survives processes that die, and knows whose fault it was."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

LIMIT_S = 300.0
"""Seconds for one file: a whole-body CT on a slow disk takes some 20."""
LIMIT_BYTES = 16 * 1024**3
"""Memory of one process: the largest volume that is read, in single precision, several times over."""

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    crashed: Callable[[Job], Result],
    *,
    workers: int,
    limit_s: float = LIMIT_S,
    limit_bytes: int = LIMIT_BYTES,
) -> Iterator[tuple[int, Result]]:
    """Position and ``function(job)`` of every job, as they finish; ``crashed(job)`` where it kills its process.

    When a process dies, the jobs that were running are suspects: each is run again alone in a process of its own, so
    that an innocent neighbour is not blamed. Processes are spawned: forking beside the threads of torch or SimpleITK
    can hang.

    Args:
        limit_s: a process that takes longer for one job is killed.
        limit_bytes: memory that a process may allocate; beyond, the allocation fails in it.

    Raises:
        RuntimeError: no process can be started at all.
    """
    _try_out()
    waiting = deque(range(len(jobs)))
    while waiting:
        suspects: list[int] = []
        with _pool(workers, limit_bytes) as pool:
            running: dict[Future[Result], int] = {}
            while waiting or running:
                try:
                    while waiting and len(running) < workers and not suspects:
                        running[pool.submit(_timed, function, jobs[waiting[0]], limit_s)] = waiting[0]
                        waiting.popleft()
                except BrokenProcessPool:
                    suspects.append(waiting.popleft())
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    position = running.pop(future)
                    try:
                        yield position, future.result()
                    except BrokenProcessPool:
                        suspects.append(position)
                if suspects and not running:
                    break
        for position in suspects:
            with _pool(1, limit_bytes) as alone:
                try:
                    yield position, alone.submit(_timed, function, jobs[position], limit_s).result()
                except BrokenProcessPool:
                    yield position, crashed(jobs[position])


def _try_out() -> None:
    with _pool(1, LIMIT_BYTES) as pool:
        try:
            pool.submit(int).result()
        except BrokenProcessPool as problem:
            advice = "guard the running script with `if __name__ == '__main__':`, or give workers=1"
            raise RuntimeError(f"worker processes cannot start: {advice}") from problem


def _pool(workers: int, limit_bytes: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(limit_bytes,))


def _begin(limit_bytes: int) -> None:
    _end_with_parent()
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process even while a decoder does not return


def _timed(function: Callable[[Job], Result], job: Job, limit_s: float) -> Result:
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        return function(job)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: a pool's own processes would wait for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
