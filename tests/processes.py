"""Real processes of tests: started with a Ray of their own, waited for, killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def start(script: Path, *arguments: object, ray_folder: Path) -> subprocess.Popen[str]:
    """A script of the tests, in a process whose Ray keeps its sockets and logs in ``ray_folder``."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "RAY_TMPDIR": str(ray_folder)}
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_until(holds: Callable[[], bool], driver: subprocess.Popen[str] | None = None, seconds: float = 120) -> None:
    """Ask ten times a second; an AssertionError after ``seconds``, or as soon as ``driver`` has ended."""
    end = time.monotonic() + seconds
    while not holds():
        if driver is not None and driver.poll() is not None:
            raise AssertionError(f"the driver ended:\n{driver.communicate()[0]}")
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def ray_processes(folder: Path | str) -> dict[int, str]:
    """Ray's own processes, servers and workers, that were started with this folder: number to command line."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            # A worker's title takes the place of its command line, so its environment is looked at, too.
            if any(map(_is_of_ray, command)) and str(folder).encode() in (process / "environ").read_bytes():
                found[int(process.name)] = " ".join(command)
        except OSError:  # it has ended, or is another user's
            continue
    return found


def workers(folder: Path | str) -> list[int]:
    """Those that run, or wait for, somebody's code; without the agents, with which Ray's own server would end."""
    titles = {number: command for number, command in ray_processes(folder).items() if command.startswith("ray::")}
    return [number for number, title in titles.items() if "Agent" not in title]


def _is_of_ray(word: str) -> bool:
    """Of a command: the title of a worker, a server, or one of Ray's own scripts."""
    return (
        word.startswith("ray::")
        or word.endswith(("/raylet", "/gcs_server"))
        or ("/ray/" in word and word.endswith(".py"))
    )


def kill(number: int) -> bool:
    """SIGKILL; whether the process was there."""
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def kill_one(numbers: Sequence[int], chance: random.Random) -> int | None:
    """Which of these processes was killed; ``None`` where none was there."""
    if not numbers:
        return None
    number = chance.choice(sorted(numbers))
    return number if kill(number) else None
