"""cluster/slurm.sh on a real Slurm with two nodes: a study outlives a signal, a requeue and a lost node.

Nothing is left behind, and no finished trial is lost. Needs root and Debian's packages slurmctld, slurmd, slurm-client
and munge.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.ray_hosts import ROOT, SHORT_PATIENCE, wait_until
from tests.cluster.slurm_hosts import Slurm, real_slurm, why_no_slurm
from tests.cluster.test_two_nodes import HERE, addresses, check_trials, rows

REASON = why_no_slurm()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.timeout(1200),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    environment = {
        **SHORT_PATIENCE,
        "HOME": str(tmp_path_factory.mktemp("home")),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "platform", ROOT))),
    }
    with real_slurm(environment) as slurm:
        yield slurm
    assert not slurm.folder.exists()
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not [host.name for host in slurm.hosts if host.name in listed]


def submit(slurm: Slurm, folder: Path, *command: str) -> str:
    """A job of slurm.sh on two nodes without GPUs; gives its number."""
    own = ["--nodes=2", "--cpus-per-task=1", "--gpus-per-node=0", f"--chdir={ROOT}", "--open-mode=append"]
    # The virtual environment of the tests, wherever it lies, comes first.
    paths = f"PATH={Path(sys.executable).parent}{os.pathsep}{slurm.hosts[0].environment['PATH']}"
    script = [str(ROOT / "cluster" / "slurm.sh"), *command]
    return slurm.command("env", paths, "sbatch", "--parsable", *own, f"--output={folder / 'job.txt'}", *script)


def submit_study(slurm: Slurm, folder: Path) -> str:
    driver = f"exec python {HERE / 'two_nodes_driver.py'} {folder} ${{RAY_ADDRESS%:*}}"
    return submit(slurm, folder, "bash", "-c", driver)


def printed(folder: Path) -> str:
    output = folder / "job.txt"
    return output.read_text() if output.exists() else ""


def complete(folder: Path) -> dict[str, dict[str, Any]]:
    return {name: row for name, row in rows(folder).items() if row["state"] == "COMPLETE"}


def in_mid_search(slurm: Slurm, folder: Path, job: str) -> dict[str, dict[str, Any]]:
    """Waits until one more trial is complete and another runs on the second node; gives the complete ones."""
    before = len(complete(folder))
    second = slurm.hosts[1].address
    old = {name: addresses(folder, name).count(second) for name in rows(folder)}

    def underway() -> bool:
        assert slurm.job(job)["JobState"] in {"PENDING", "RUNNING"}, printed(folder)
        running = [name for name, row in rows(folder).items() if row["state"] == "RUNNING"]
        on_second = [name for name in running if addresses(folder, name).count(second) >= old.get(name, 0) + 2]
        return len(complete(folder)) > before and bool(on_second)

    wait_until(underway, "the search is in its middle", seconds=400)
    return complete(folder)


def check_nothing_left(slurm: Slurm, *nodes: int) -> None:
    wait_until(lambda: not slurm.ray(), "every process of Ray has ended", seconds=60)
    for node in nodes:
        assert not [name for name in slurm.temporary(node) if name.startswith("ray-")]


def test_a_cluster_that_waits_for_jobs_is_cancelled(slurm: Slurm, tmp_path: Path) -> None:
    """Both nodes join, though the name of each host has a loopback address there."""
    job = submit(slurm, tmp_path)
    wait_until(lambda: "submit with: ssh" in printed(tmp_path), "the cluster is there")
    assert "2 of 2 nodes have joined the cluster" in printed(tmp_path)
    assert [host for host in slurm.hosts if not host.running("raylet/raylet ")] == []
    slurm.command("scancel", job)
    assert slurm.wait_for(job)["JobState"] == "CANCELLED"
    check_nothing_left(slurm, 0, 1)


def test_a_study_outlives_its_allocations_and_a_node(slurm: Slurm, tmp_path: Path) -> None:
    first = submit_study(slurm, tmp_path)
    finished = in_mid_search(slurm, tmp_path, first)
    # As Slurm does before the time limit, by --signal=B:TERM.
    slurm.command("scancel", "--batch", "--signal=TERM", first)
    assert slurm.wait_for(first)["ExitCode"] == "143:0", printed(tmp_path)
    check_nothing_left(slurm, 0, 1)

    second = submit_study(slurm, tmp_path)
    finished |= in_mid_search(slurm, tmp_path, second)
    slurm.command("scontrol", "requeue", second)
    slurm.wait_for(second, "PENDING")
    check_nothing_left(slurm, 0, 1)
    slurm.command("scontrol", "update", f"JobId={second}", "StartTime=now")

    finished |= in_mid_search(slurm, tmp_path, second)
    # The machine of the second node loses its power.
    slurm.hosts[1].kill()
    job = slurm.wait_for(second)
    assert (job["JobState"], job["ExitCode"], job["Restarts"]) == ("COMPLETED", "0:0", "1"), printed(tmp_path)
    check_trials(tmp_path, finished)
    assert printed(tmp_path).count("going on after") == 2
    check_nothing_left(slurm, 0)
