"""A search on two Ray nodes, each on a host of its own: a cut cable, a dead node and a killed driver lose nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from branchpoint.store import Store
from tests.cluster.ray_hosts import PORT, ROOT, SHORT_PATIENCE, Host, two_hosts, wait_until, why_no_hosts
from tests.cluster.two_nodes_driver import STUDY, two_nodes_study
from tests.search.search_toys import epochs_run

REASON = why_no_hosts()
pytestmark = [pytest.mark.skipif(REASON is not None, reason=str(REASON)), pytest.mark.timeout(900)]

HERE = Path(__file__).parent
WHAT_IS_HELD = """
import json, ray
ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
groups = [group["state"] for group in ray.util.placement_group_table().values()]
print(json.dumps({"groups": [state for state in groups if state != "REMOVED"],
                  "free": ray.available_resources().get("CPU"), "nodes": sum(node["Alive"] for node in ray.nodes())}))
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    """The first is the head of the cluster; token authentication is on."""
    paths = os.pathsep.join(map(str, (ROOT / "platform", ROOT)))
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(16).hex()}
    with two_hosts({**SHORT_PATIENCE, **token, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}) as (head, other):
        for host in (head, other):
            host.environment["RAY_ADDRESS"] = f"{head.address}:{PORT}"
        head.start_ray(None, "--include-dashboard=false")
        names, folders = [head.name, other.name], [head.folder, other.folder]
        yield head, other
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not [name for name in names if name in listed]
    assert not [folder for folder in folders if folder.exists()]
    assert not processes_naming(token["RAY_AUTH_TOKEN"])


@pytest.fixture
def cluster(hosts: tuple[Host, Host]) -> tuple[Host, Host]:
    """Both nodes at work."""
    head, other = hosts
    if not other.processes():
        other.mend()
        other.start_ray(head)
    wait_until(lambda: state_of(head).get("nodes") == 2, "both nodes have joined the cluster")
    return head, other


def processes_naming(secret: str) -> list[int]:
    """Processes whose environment holds ``secret``, this one aside."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and secret.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def state_of(head: Host) -> dict[str, Any]:
    import json

    done = head.run(sys.executable, "-c", WHAT_IS_HELD, seconds=200)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}


def start_driver(host: Host, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "two_nodes_driver.py"), str(folder), host.address]
    return host.start(*command, output=folder / "driver.txt")


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    found = Store(str(folder / "results")).trials(STUDY).to_pylist(maps_as_pydicts="strict")
    return {row["trial"]: row for row in found}


def addresses(folder: Path, trial: str) -> list[str]:
    """Of the nodes that ran its epochs, in order."""
    notes = folder / "state" / "runs" / trial / "addresses.txt"
    return notes.read_text().split() if notes.exists() else []


def in_mid_search(folder: Path, on: Host, driver: subprocess.Popen[bytes]) -> dict[str, dict[str, Any]]:
    """Waits until two trials are complete and a third has run two epochs on the host ``on``; gives the rows then."""

    def underway() -> bool:
        assert driver.poll() is None, (folder / "driver.txt").read_text()
        now = rows(folder)
        complete = [name for name, row in now.items() if row["state"] == "COMPLETE"]
        running = [addresses(folder, name) for name, row in now.items() if row["state"] == "RUNNING"]
        return len(complete) >= 2 and any(places.count(on.address) >= 2 for places in running)

    wait_until(underway, f"the search is in its middle on {on.address}")
    return {name: row for name, row in rows(folder).items() if row["state"] == "COMPLETE"}


def check_end(folder: Path, driver: subprocess.Popen[bytes], finished: dict[str, dict[str, Any]]) -> None:
    assert driver.wait(timeout=300) == 0, (folder / "driver.txt").read_text()
    check_trials(folder, finished)


def check_trials(folder: Path, finished: dict[str, dict[str, Any]]) -> None:
    """All are complete, and no epoch was run again but the one that an end of its attempt cut."""
    after = rows(folder)
    assert len(after) == two_nodes_study(folder).trials
    assert {row["state"] for row in after.values()} == {"COMPLETE"}
    for name, row in finished.items():
        assert after[name] == row, "a finished trial is left as it was"
        assert epochs_run(folder / "state", name) == [1, 2, 3, 4, 5, 6]
    for name, row in after.items():
        ran = epochs_run(folder / "state", name)
        assert sorted(set(ran)) == [1, 2, 3, 4, 5, 6]
        assert len(ran) <= 6 + row["attempt"] - 1, "each attempt goes on from the last checkpoint"
    assert not (folder / "state" / "ray").exists(), "what Ray Tune wrote is gone"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "killed"])
def test_lost_node_costs_no_finished_trial(cluster: tuple[Host, Host], tmp_path: Path, how: str) -> None:
    head, other = cluster
    driver = start_driver(head, tmp_path)
    finished = in_mid_search(tmp_path, other, driver)
    other.cut() if how == "cut" else other.kill()
    check_end(tmp_path, driver, finished)
    ran_on = {place for name in rows(tmp_path) for place in addresses(tmp_path, name)}
    assert ran_on == {head.address, other.address}, "both nodes had work"
    assert any(row["attempt"] > 1 for row in rows(tmp_path).values()), "the lost node's trials went on elsewhere"
    # What remains for a while are Ray's agents, which hold nothing.
    wait_until(
        lambda: not other.running("raylet/raylet ", "ray::ImplicitFunc"), "a node that is cut off ends by itself"
    )
    other.kill()
    wait_until(lambda: state_of(head) == {"groups": [], "free": 2.0, "nodes": 1}, "nothing is held any more")


@pytest.mark.slow
def test_killed_driver_resumes_on_the_other_node(cluster: tuple[Host, Host], tmp_path: Path) -> None:
    head, other = cluster
    driver = start_driver(head, tmp_path)
    finished = in_mid_search(tmp_path, other, driver)
    driver.kill()
    driver.wait()
    again = start_driver(other, tmp_path)
    check_end(tmp_path, again, finished)
    assert "going on after" in (tmp_path / "driver.txt").read_text()
    wait_until(lambda: state_of(head) == {"groups": [], "free": 4.0, "nodes": 2}, "nothing is held any more")
