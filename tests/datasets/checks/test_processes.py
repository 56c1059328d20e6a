"""A parallel map whose processes may die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

from branchpoint.datasets.checks.files import inspect_files
from branchpoint.datasets.checks.processes import map_in_processes
from branchpoint.datasets.checks.volume_files import inspect_volume
from branchpoint.datasets.file_report import FileJob


def square_or_die(number: int) -> int:
    """Die on 7 as a crash in a decoder would."""
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def blame(number: int) -> int:
    return -number


def test_the_one_that_kills_its_process_is_named() -> None:
    jobs = [3, 7, 5, 1, 2]
    assert dict(map_in_processes(square_or_die, jobs, blame, workers=2)) == {0: 9, 1: -7, 2: 25, 3: 1, 4: 4}


def test_files_are_read_in_processes_in_order(tmp_path) -> None:  # type: ignore[no-untyped-def]
    jobs = [FileJob(f"P{i}", "CT", tmp_path / f"{i}.nii.gz", "CT") for i in range(3)]
    for job in jobs[:2]:
        job.path.write_bytes(b"no volume" * 100)
    reports = inspect_files(jobs, inspect_volume, workers=2, progress=True)
    assert [(report.job.patient, report.problems[0].rule) for report in reports] == [
        ("P0", "unreadable-file"),
        ("P1", "unreadable-file"),
        ("P2", "missing-file"),
    ]


def test_an_exception_becomes_a_row_of_its_file(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from branchpoint.datasets.checks import volume_files

    def fail(path: object) -> None:
        raise MemoryError("too big")

    monkeypatch.setattr(volume_files, "nifti_faults", fail)
    job = FileJob("P", "CT", tmp_path / "a.nii", "CT")
    job.path.touch()
    (row,) = volume_files.inspect_volume(job).problems
    assert (row.rule, row.patient, "MemoryError: too big" in row.found) == ("reader-crashed", "P", True)


def sleep_beside(pid_file: str) -> None:
    Path(pid_file).write_text(str(os.getpid()))
    time.sleep(300)


def wait_in_a_pool(pid_file: str) -> None:
    list(map_in_processes(sleep_beside, [pid_file], lambda job: None, workers=1))


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    parent = multiprocessing.get_context("spawn").Process(target=wait_in_a_pool, args=(str(pid_file),))
    parent.start()
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.05)
    parent.kill()
    parent.join()
    worker, deadline = int(pid_file.read_text()), time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
