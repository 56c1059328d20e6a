"""Two Ray nodes without a common disk for the cohort: it reaches the other node once, however many trials run there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from branchpoint.datasets.cache.node_copy import LOG
from branchpoint.datasets.prepared import prepare
from branchpoint.store import Store
from tests.cluster.ray_hosts import PORT, ROOT, SHORT_PATIENCE, Host, two_hosts, why_no_hosts
from tests.datasets.scans import toy_dataset, write_cohort

HERE = Path(__file__).parent
REASON = why_no_hosts()
pytestmark = [pytest.mark.skipif(REASON is not None, reason=str(REASON)), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``shared``, and ``head`` with the cohort."""
    folder = tmp_path_factory.mktemp("disks")
    (folder / "shared").mkdir()
    cohort = write_cohort(folder / "head" / "raw", 4)
    made = prepare(cohort, toy_dataset(folder), folder / "head" / "cache", workers=2, progress=False)
    (folder / "manifest.txt").write_text(str(made.path))
    return folder


@pytest.fixture(scope="module")
def hosts(folder: Path) -> Iterator[tuple[Host, Host]]:
    """Head and another node, which sees nothing of the head's disk."""
    paths = os.pathsep.join(map(str, (ROOT / "platform", ROOT)))
    environment = {**SHORT_PATIENCE, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(16).hex()}
    with two_hosts({**environment, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}) as (head, other):
        other.hidden.append(folder / "head")
        for host in (head, other):
            host.environment |= {
                "RAY_ADDRESS": f"{head.address}:{PORT}",
                "BRANCHPOINT_NODE_CACHE": str(copies(folder, host)),
            }
        head.start_ray(None, "--include-dashboard=false")
        other.start_ray(head)
        yield head, other


def copies(folder: Path, host: Host) -> Path:
    return folder / f"copies-{host.name}"


def run_driver(folder: Path, on: Host, name: str, trials: int) -> None:
    driver = [sys.executable, str(HERE / "no_shared_disk_driver.py"), name, str(trials), str(folder), on.address]
    done = on.run(*driver, seconds=400)
    assert done.returncode == 0, done.stdout + done.stderr
    states = Store(str(folder / "shared" / "results")).trials(name)["state"].to_pylist()
    assert states == ["COMPLETE"] * trials


def seen(folder: Path, name: str, address: str) -> list[tuple[str, str]]:
    """Where the cohort lay for each trial that ran on the node at ``address``, and the sum of its images."""
    found = []
    for run in sorted((folder / "shared" / name / "runs").iterdir()):
        if set((run / "addresses.txt").read_text().split()) == {address}:
            path, total = (run / "cohort.txt").read_text().split()
            found.append((path, total))
    return found


def fetches(folder: Path, host: Host) -> list[str]:
    log = copies(folder, host) / LOG
    return [line.split()[4] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.slow
def test_the_cohort_reaches_a_node_once(folder: Path, hosts: tuple[Host, Host]) -> None:
    head, other = hosts
    run_driver(folder, head, "first", 8)
    on_head, on_other = (seen(folder, "first", host.address) for host in hosts)
    assert len(on_other) >= 2, "several trials ran on the other node"
    assert on_head
    assert {path for path, _ in on_head} == {(folder / "manifest.txt").read_text()}
    assert all(path.startswith(str(copies(folder, other))) for path, _ in on_other)
    assert len({total for _, total in on_head + on_other}) == 1, "and saw the same images"
    assert fetches(folder, other) == ["begun", "complete:"]

    run_driver(folder, head, "second", 4)
    assert fetches(folder, other) == ["begun", "complete:"], "a second study finds it there"
    # The first study, with more trials, from a driver that does not see the disk it was begun on.
    run_driver(folder, other, "first", 11)
    assert fetches(folder, other) == ["begun", "complete:"]
    assert fetches(folder, head) == []


@pytest.mark.slow
def test_a_killed_fetch_is_begun_again(folder: Path, hosts: tuple[Host, Host]) -> None:
    """What a killed process leaves, a lock file and a volume half-written, keeps nobody from fetching."""
    head, other = hosts
    place = copies(folder, other)
    manifest = Path((folder / "manifest.txt").read_text())
    shutil.rmtree(place, ignore_errors=True)
    (place / "partial" / "half").mkdir(parents=True)
    (place / f"{manifest.stem}.lock").touch()
    run_driver(folder, head, "third", 6)
    assert fetches(folder, other) == ["begun", "complete:"]
    assert len(seen(folder, "third", other.address)) >= 1
