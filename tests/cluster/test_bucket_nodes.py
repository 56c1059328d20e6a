"""Two Ray nodes and a bucket, no common disk: the trials of a node that dies go on on the other from the bucket.

The bucket is one of a real S3 server (moto) on the head.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.bucket_driver import EPOCHS, STUDY, TRIALS
from tests.cluster.ray_hosts import PORT, ROOT, SHORT_PATIENCE, Host, two_hosts, wait_until, why_no_hosts

HERE = Path(__file__).parent
REASON = why_no_hosts()
pytestmark = [pytest.mark.skipif(REASON is not None, reason=str(REASON)), pytest.mark.timeout(900)]

MAKE_BUCKET = """
from pyarrow import fs
fs.S3FileSystem(endpoint_override="{address}:5000", scheme="http", allow_bucket_creation=True).create_dir("studies")
"""
ROWS = """
import json, sys
from branchpoint.io.storage import Bucket
from branchpoint.store import Store
store = Store(sys.argv[1])
trials = [(row["trial"], row["attempt"], row["state"]) for row in store.trials(sys.argv[2], attempts="all").to_pylist()]
epochs = [(row["trial"], row["attempt"], row["epoch"]) for row in store.epochs(sys.argv[2]).to_pylist()]
kept = sorted(Bucket(sys.argv[1]).sizes(".state"))
print(json.dumps({"trials": trials, "epochs": epochs, "kept": kept}))
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The head's."""
    return tmp_path_factory.mktemp("head")


@pytest.fixture(scope="module")
def hosts(disk: Path) -> Iterator[tuple[Host, Host]]:
    paths = os.pathsep.join(map(str, (ROOT / "platform", ROOT)))
    environment = {
        **SHORT_PATIENCE,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": os.urandom(16).hex(),
        "PYTHONPATH": paths,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "key",
        "AWS_EC2_METADATA_DISABLED": "true",
        "OMP_NUM_THREADS": "1",
    }
    with two_hosts(environment) as (head, other):
        other.hidden.append(disk)
        for host in (head, other):
            host.environment["RAY_ADDRESS"] = f"{head.address}:{PORT}"
        head.start(sys.executable, "-m", "moto.server", "--host", head.address, "--port", "5000")
        head.start_ray(None, "--include-dashboard=false", cpus=1)
        other.start_ray(head, cpus=1)
        yield head, other


def state_of(head: Host, store: str) -> dict[str, list]:
    done = head.run(sys.executable, "-c", ROWS, store, STUDY, seconds=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_dead_node_s_trial_goes_on_from_the_bucket(disk: Path, hosts: tuple[Host, Host]) -> None:
    head, other = hosts
    wait_until(lambda: head.run(sys.executable, "-c", MAKE_BUCKET.format(address=head.address)).returncode == 0, "S3")
    store = f"s3://studies/results?scheme=http&endpoint_override={head.address}:5000"
    command = [sys.executable, str(HERE / "bucket_driver.py"), store, str(disk), head.address]
    driver = head.start(*command, output=disk / "driver.txt")

    def both_at_work() -> bool:
        """Each node has one core, so that two trials that run at once are on two nodes."""
        state = state_of(head, store)
        running = {trial for trial, _, end in state["trials"] if end == "RUNNING"}
        return len({trial for trial, _, epoch in state["epochs"] if epoch >= 2 and trial in running}) == TRIALS

    wait_until(lambda: driver.poll() is not None or both_at_work(), "a trial on each node has two epochs behind it")
    assert driver.poll() is None, (disk / "driver.txt").read_text()
    other.kill()
    assert driver.wait(timeout=400) == 0, (disk / "driver.txt").read_text()
    state = state_of(head, store)
    latest = {trial: (attempt, end) for trial, attempt, end in sorted(state["trials"])}
    assert [end for _, end in latest.values()] == ["COMPLETE"] * TRIALS
    again = [trial for trial, (attempt, _) in latest.items() if attempt == 2]
    assert again, "a trial of the dead node went on elsewhere"
    for trial in again:
        first, second = ([e for t, a, e in state["epochs"] if (t, a) == (trial, attempt)] for attempt in (1, 2))
        assert second[0] >= 2, "from a checkpoint, not anew"
        assert sorted({*first, *second}) == list(range(1, EPOCHS + 1))
    assert not [name for name in state["kept"] if "checkpoints/epoch" in name], "none is left when all have ended"
    assert not (disk / "state" / "runs").exists(), "nothing of them was on a disk"
