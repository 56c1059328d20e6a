"""One training by two workers, each on a host of its own: one host dies, another comes, the result is as unbroken."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from branchpoint.training.loop import fit
from tests.cluster.ray_hosts import PORT, ROOT, SHORT_PATIENCE, Host, two_hosts, wait_until, why_no_hosts
from tests.cluster.workers_driver import CONFIG, EPOCHS, STUDY
from tests.on_ray.workers_toys import open_spheres

HERE = Path(__file__).parent
REASON = why_no_hosts()
pytestmark = [pytest.mark.skipif(REASON is not None, reason=str(REASON)), pytest.mark.timeout(900)]
ABSENCE_SECONDS = 40.0
"""Longer than the 30 s that Ray Train waits for the workers of one start."""
ROWS = """
import json, sys
from branchpoint.store import Store
rows = Store(sys.argv[1]).epochs(sys.argv[2]).select(["epoch", "metrics"]).to_pylist(maps_as_pydicts="strict")
print(json.dumps(rows))
"""


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """One core each, so that the two workers are on two hosts."""
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
        for host in (head, other):
            host.environment["RAY_ADDRESS"] = f"{head.address}:{PORT}"
        head.start_ray(None, "--include-dashboard=false", cpus=1)
        yield head, other


def noted(folder: Path, rank: int) -> list[tuple[int, str]]:
    """Epochs that a rank trained, and where."""
    path = folder / f"rank{rank}.txt"
    words = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(epoch), address) for epoch, address in words]


def bucket_on(head: Host) -> str:
    """A bucket of a real S3 server (moto) on the head."""
    head.start(sys.executable, "-m", "moto.server", "--host", head.address, "--port", "5000")
    where = f'endpoint_override="{head.address}:5000", scheme="http", allow_bucket_creation=True'
    make = f'from pyarrow import fs; fs.S3FileSystem({where}).create_dir("studies")'
    wait_until(lambda: head.run(sys.executable, "-c", make).returncode == 0, "there is a bucket")
    return f"s3://studies/results?scheme=http&endpoint_override={head.address}:5000"


def epochs_in(store: str, host: Host) -> list[dict[str, Any]]:
    done = host.run(sys.executable, "-c", ROWS, store, STUDY)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_a_dead_host_s_worker_starts_anew_where_a_node_comes(
    tmp_path: Path, hosts: tuple[Host, Host], place: str
) -> None:
    """On a disk that both see, or on one that only the head sees, with a bucket."""
    head, other = hosts
    (tmp_path / "state").mkdir()
    if place == "bucket":
        other.hidden.append(tmp_path / "state")
    store = str(tmp_path / "results") if place == "disk" else bucket_on(head)
    other.start_ray(head, cpus=1)
    driver = head.start(
        sys.executable,
        str(HERE / "workers_driver.py"),
        str(tmp_path),
        store,
        head.address,
        output=tmp_path / "driver.txt",
    )
    said = tmp_path / "driver.txt"
    wait_until(lambda: driver.poll() is not None or len(noted(tmp_path, 1)) >= 3, "three epochs are trained")
    assert driver.poll() is None, said.read_text()
    assert {noted(tmp_path, rank)[0][1] for rank in (0, 1)} == {head.address, other.address}
    other.kill()
    with pytest.raises(AssertionError, match="in vain"):
        wait_until(lambda: driver.poll() is not None, "the run ends", seconds=ABSENCE_SECONDS)
    other.mend()
    other.start_ray(head, cpus=1)
    assert driver.wait(timeout=400) == 0, said.read_text()
    assert said.read_text().split()[-1:] == ["COMPLETE"], said.read_text()
    unbroken = fit(CONFIG, open_spheres(tmp_path), device="cpu")
    rows = epochs_in(store, head)
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    for row, expected in zip(rows, unbroken.history, strict=True):
        assert row["metrics"] == pytest.approx(dict(expected.metrics), rel=5e-4, abs=5e-5, nan_ok=True)
    for rank in (0, 1):
        assert len(noted(tmp_path, rank)) <= EPOCHS + 2, "from the last checkpoint, not anew"
