"""Who holds a lock."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from branchpoint.io.locks import LockHeldError, exclusive, holder


def test_who_holds_it(tmp_path: Path) -> None:
    lock = tmp_path / "driver.lock"
    assert holder(lock) == ""
    with exclusive(lock):
        assert holder(lock) == f"process {os.getpid()} on {socket.gethostname()}"
        code = "import sys; from pathlib import Path; from branchpoint.io.locks import exclusive\n"
        code += "with exclusive(Path(sys.argv[1]), wait=False): pass"
        other = subprocess.run([sys.executable, "-c", code, str(lock)], capture_output=True, text=True)
    assert f"{LockHeldError.__name__}: {lock} is held by process {os.getpid()} on" in other.stderr


@pytest.mark.parametrize(("host", "known"), [(socket.gethostname(), False), ("another-host", True)])
def test_a_process_that_has_ended_holds_nothing_on_this_machine(host: str, known: bool, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "driver.holder").write_text(f"process {gone.pid} on {host}\n")
    assert holder(tmp_path / "driver.lock") == (f"process {gone.pid} on {host}" if known else "")
