"""From a laptop: ``ray job submit`` to a cluster with token authentication, results in a bucket, ``branchpoint best``.

Cluster and laptop are hosts of their own; the bucket is a real S3 server (moto) beside the cluster.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.ray_hosts import ROOT, Host, two_hosts, wait_until, why_no_hosts

REASON = why_no_hosts()
needs_hosts = pytest.mark.skipif(REASON is not None, reason=str(REASON))

MEBIBYTE = 1024**2
BIN = Path(sys.executable).parent


def test_the_upload_is_small_and_whole(tmp_path: Path) -> None:
    """What `ray job submit --working-dir .` would pack, by Ray's own function."""
    from ray._private.runtime_env.packaging import create_package

    package = tmp_path / "package.zip"
    create_package(str(ROOT), package, include_gitignore=True)
    assert package.stat().st_size < 3 * MEBIBYTE, "the package's sources, which Ray does not compress, and little else"
    with zipfile.ZipFile(package) as packed:
        names = {name for name in packed.namelist() if not name.endswith("/")}
    assert {"jobs/nas_hecktor.py", "platform/branchpoint/config/config.py", "search_spaces/hecktor.py"} <= names
    assert {name.split("/")[0] for name in names} & {".venv", ".git", "results", "cache", "data", "tests"} == set()
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "platform" / "branchpoint").rglob("*.py")}
    assert sources <= names


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    """A cluster of one node that is begun in the project's folder, and a laptop."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": os.urandom(16).hex(),
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "RAY_worker_niceness": "0",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": os.urandom(8).hex(),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "160",
        "BRANCHPOINT_HOME": "",
    }
    with two_hosts(environment) as (cluster, laptop):
        cluster.start_ray(None, "--include-dashboard=true", f"--dashboard-host={cluster.address}", cwd=ROOT)
        cluster.start(sys.executable, "-m", "moto.server", "--host", cluster.address, "--port", "5000")
        laptop.environment["RAY_ADDRESS"] = f"http://{cluster.address}:8265"
        yield cluster, laptop


def submit(laptop: Host, *options: str) -> str:
    done = laptop.run(str(BIN / "ray"), "job", "submit", *options, seconds=600, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_hosts
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_from_a_laptop_to_a_cluster_and_back(hosts: tuple[Host, Host]) -> None:
    cluster, laptop = hosts
    wait_until(lambda: serves(laptop, f"http://{cluster.address}:5000/"), "the bucket's server is there")
    laptop.run(sys.executable, "-c", MAKE_BUCKET.format(address=cluster.address))
    wait_until(lambda: laptop.run(str(BIN / "ray"), "job", "list").returncode == 0, "the job server is there")
    store = f"s3://studies/results?scheme=http&endpoint_override={cluster.address}:5000"
    job = ["python", "jobs/nas_hecktor.py", "--smoke", "--trials", "2", "--concurrency", "2", "--store", store]

    refused = laptop.run("env", "-u", "RAY_AUTH_TOKEN", str(BIN / "ray"), "job", "submit", "--", *job)
    assert refused.returncode != 0, "without the token nobody gets in"

    first = submit(laptop, "--working-dir", ".", "--", *job)
    assert "succeeded" in first
    assert "best found" in first

    best = laptop.run(str(BIN / "branchpoint"), "best", "--store", store, "--json")
    assert best.returncode == 0, best.stderr
    (row,) = json.loads(best.stdout)
    assert row["state"] == "COMPLETE"
    assert laptop.run(str(BIN / "branchpoint"), "best", "--store", store).stdout.count("Cox on") >= 1

    home = Path(cluster.environment["HOME"]) / ".branchpoint"
    assert (home / "cache").is_dir(), "a job that was uploaded keeps its files out of the copy that Ray deletes"
    # In the folder where `ray start` was run; the same home, so that the study is found complete.
    again = submit(laptop, "--", *job, "--home", str(home))
    assert "succeeded" in again
    assert not re.search(r"trial \d+ (complete|pruned|failed)", again), "no finished trial is run again"
    assert "best found" in again


MAKE_BUCKET = """
from pyarrow import fs
fs.S3FileSystem(endpoint_override="{address}:5000", scheme="http", allow_bucket_creation=True).create_dir("studies")
"""


def serves(host: Host, url: str) -> bool:
    ask = f"import urllib.request; urllib.request.urlopen({url!r}, timeout=5)"
    return host.run(sys.executable, "-c", ask).returncode == 0
