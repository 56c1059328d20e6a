"""Locks, attempts and remembered settings of a study's state folder."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from branchpoint.execution.state import StudyFolder, run_folder


def test_must_be_absolute() -> None:
    with pytest.raises(ValueError, match="must be an absolute path"):
        StudyFolder(Path("state"))


def test_second_driver_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
            import sys
            from pathlib import Path
            from branchpoint.execution.state import StudyFolder
            with StudyFolder(Path({str(tmp_path)!r})).lock():
                print("held", flush=True)
                sys.stdin.read()
        """),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(ValueError, match=f"is being run by process {holder.pid} on .*; wait for it"),
        StudyFolder(tmp_path).lock(),
    ):
        pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with StudyFolder(tmp_path).lock():
        pass


def test_changed_settings_are_named(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.remember({"seed": 0, "base": {"epochs": 6, "size": (8, 8)}})
    folder.remember({"seed": 0, "base": {"epochs": 6, "size": (8, 8)}})
    with pytest.raises(ValueError, match=r"base\.epochs was 6, now is 7"):
        folder.remember({"seed": 0, "base": {"epochs": 7, "size": (8, 8)}})


def test_attempts_are_counted_on_disk(tmp_path: Path) -> None:
    run = run_folder(tmp_path, "results", "study", "0003")
    assert run.attempts == 0
    for expected in (1, 2):
        with run.lock():
            assert run.begin_attempt() == expected
    assert run_folder(tmp_path, "results", "study", "0003").attempts == 2
