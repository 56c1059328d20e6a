"""Reading every file of a cohort, each by itself, in processes that may die."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from branchpoint.datasets.checks.headers import Fault
from branchpoint.datasets.checks.processes import LIMIT_S, map_in_processes
from branchpoint.datasets.file_report import FileJob, FileReport
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem


def fault_rows(job: FileJob, faults: Iterable[Fault]) -> list[Problem]:
    """The rows of a file's faults."""
    return [
        problem(fault.rule, job.patient, job.task, fault.found, expected=fault.expected, fix=fault.fix)
        for fault in faults
    ]


def report_of(job: FileJob, faults: Iterable[Fault], **findings: Any) -> FileReport:
    """The report of a volume, with the rows of its faults."""
    return FileReport(job, fault_rows(job, faults), **findings)


def inspect_files(
    jobs: Sequence[FileJob],
    inspect: Callable[[FileJob], FileReport],
    *,
    workers: int = 0,
    progress: bool = False,
) -> list[FileReport]:
    """``inspect`` of all ``jobs``, in their order.

    Args:
        workers: processes, 0 for one on each core. A process that dies (a crash in a decoder, memory) becomes a row of
            the file that killed it. With 1 all is done in this process, which a crash then ends.
        progress: show a progress bar on the terminal.
    """
    done: Iterable[tuple[int, FileReport]]
    if workers == 1 or not jobs:
        done = ((i, inspect(job)) for i, job in enumerate(jobs))
    else:
        done = map_in_processes(
            inspect, jobs, _crashed, workers=min(workers or len(os.sched_getaffinity(0)), len(jobs))
        )
    if progress and jobs:
        from rich.console import Console
        from rich.progress import track

        done = track(done, description="reading files", total=len(jobs), console=Console(stderr=True))
    reports = dict(done)
    return [reports[i] for i in range(len(jobs))]


def _crashed(job: FileJob) -> FileReport:
    why = f"a decoder crashed, memory ran out, or it took more than {LIMIT_S:g} s"
    return report_of(job, [Fault("reader-crashed", f"the process that read {job.path} died: {why}")])
