"""cluster/slurm.sh with stand-ins for Slurm's and Ray's commands: what it starts where, and that it ends it again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "cluster" / "slurm.sh"

STAND_INS = {
    # Options aside, runs the command here; the process keeps its id, as srun's does until its step ends.
    "srun": """
echo "srun ${*//$'\\n'/ }" >> "$NOTES"; echo $$ >> "$NOTES.steps"
while [[ "$1" == --* ]]; do shift; done; exec "$@" """,
    "scancel": 'echo "scancel $*" >> "$NOTES"; kill $(cat "$NOTES.steps") 2> /dev/null',
    "hostname": '[ "$1" = --ip-address ] && echo 127.0.1.1 fe80::1 || echo 10.0.0.1 172.17.0.1',
    "ray": """
echo "ray $* mode=$RAY_AUTH_MODE" >> "$NOTES"
[ "$1" = start ] || exit 0
for option; do [[ "$option" != --temp-dir=* ]] || mkdir -p "${option#*=}/session"; done
[ -z "${RAY_FAILS:-}" ] || exit 1
echo $$ >> "$NOTES.pids"; exec sleep 600""",
    "python": """
if [ "$1" = -c ]; then steps=$(cat "$NOTES.pids" | wc -l); [ $steps -lt 2 ] && echo $steps || echo 3; exit; fi
echo "job $* at $RAY_ADDRESS" >> "$NOTES"; [ "$1" = slow.py ] && exec sleep 600; exit "${JOB_CODE:-0}" """,
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, body in STAND_INS.items():
        (stand_ins / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (stand_ins / name).chmod(0o755)
    slurm = {
        "SLURM_JOB_ID": "123456",
        "SLURMD_NODENAME": "node1",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "16",
        "NOTES": str(tmp_path / "notes"),
        "TMPDIR": str(tmp_path),
    }
    return {**os.environ, **slurm, "PATH": f"{stand_ins}{os.pathsep}{os.environ['PATH']}"}


def living(notes: str) -> list[int]:
    """Of the stand-ins for Ray, those that run."""
    found = []
    for text in Path(f"{notes}.pids").read_text().split():
        try:
            os.kill(int(text), 0)
            found.append(int(text))
        except ProcessLookupError:
            continue
    return found


def test_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


@pytest.mark.parametrize("code", [0, 3])
def test_runs_the_command_on_a_cluster_and_ends_it(tmp_path: Path, environment: dict[str, str], code: int) -> None:
    command = ["bash", str(SCRIPT), "python", "jobs/nas_hecktor.py", "--smoke"]
    done = subprocess.run(
        command, env={**environment, "JOB_CODE": str(code)}, cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "3 of 3 nodes have joined" in done.stdout
    notes = Path(environment["NOTES"]).read_text().splitlines()
    port = 20000 + 123456 % 3000 * 4
    (head,) = [note for note in notes if note.startswith("srun") and "--head" in note]
    assert "--nodelist=node1" in head
    assert f"--head --node-ip-address=10.0.0.1 --port={port} --dashboard-host=127.0.0.1" in head
    ports = re.findall(r"-port=(\d+)", head)
    assert sorted(map(int, ports)) == [port, port + 1, port + 2, port + 3], "another cluster may share the node"
    (others,) = [note for note in notes if note.startswith("srun") and f"--address=10.0.0.1:{port}" in note]
    assert "--overlap --no-kill --kill-on-bad-exit=0 --nodes=2 --ntasks=2 --exclude=node1" in others
    assert f"job jobs/nas_hecktor.py --smoke at 10.0.0.1:{port}" in notes
    started = [note for note in notes if note.startswith("ray start")]
    assert len(started) == 2
    assert all(f"--temp-dir={tmp_path}/ray-123456 --num-cpus=16" in note for note in started)
    assert all(note.endswith("mode=token") for note in started)
    assert "scancel --quiet --signal=TERM 123456" in notes
    assert not (tmp_path / "ray-123456").exists()
    assert not living(environment["NOTES"])


def test_says_when_ray_does_not_start(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT), "python", "job.py"],
        env={**environment, "RAY_FAILS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert "Ray did not start on node1" in done.stderr
    notes = Path(environment["NOTES"]).read_text()
    assert notes.count("ray start --block") == 4, "the step and three tries"
    assert "job job.py" not in notes
    assert not (tmp_path / "ray-123456").exists()


def test_a_signal_before_the_end_of_the_allocation_ends_everything(tmp_path: Path, environment: dict[str, str]) -> None:
    script = subprocess.Popen(
        ["bash", str(SCRIPT), "python", "slow.py"], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    notes = Path(environment["NOTES"])
    end = time.monotonic() + 60
    while "job slow.py" not in (notes.read_text() if notes.exists() else ""):
        assert script.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    assert len(living(str(notes))) == 2
    script.send_signal(signal.SIGTERM)
    assert script.wait(timeout=100) == 143
    assert not living(str(notes))
    assert not (tmp_path / "ray-123456").exists()


def test_outside_of_slurm_it_says_what_to_do(tmp_path: Path, environment: dict[str, str]) -> None:
    del environment["SLURM_JOB_ID"]
    done = subprocess.run(["bash", str(SCRIPT)], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode
    assert "submit this file with sbatch" in done.stderr
