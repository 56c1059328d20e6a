"""A parallel map that survives processes that die, and knows whose fault it was."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], crashed: Callable[[Job], Result], *, workers: int
) -> Iterator[tuple[int, Result]]:
    """Position and ``function(job)`` of every job, as they finish; ``crashed(job)`` where it kills its process.

    When a process dies, the jobs that were running are suspects: each is run again alone in a process of its own, so
    that an innocent neighbour is not blamed. Processes are spawned: forking beside the threads of torch or SimpleITK
    can hang.

    Raises:
        RuntimeError: no process can be started at all.
    """
    _try_out()
    waiting = deque(range(len(jobs)))
    while waiting:
        suspects: list[int] = []
        with _pool(workers) as pool:
            running: dict[Future[Result], int] = {}
            while waiting or running:
                try:
                    while waiting and len(running) < workers and not suspects:
                        running[pool.submit(function, jobs[waiting[0]])] = waiting[0]
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
            with _pool(1) as alone:
                try:
                    yield position, alone.submit(function, jobs[position]).result()
                except BrokenProcessPool:
                    yield position, crashed(jobs[position])


def _try_out() -> None:
    with _pool(1) as pool:
        try:
            pool.submit(int).result()
        except BrokenProcessPool as problem:
            advice = "guard the running script with `if __name__ == '__main__':`, or give workers=1"
            raise RuntimeError(f"worker processes cannot start: {advice}") from problem


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: a pool's own processes would wait for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
