"""What holds for all tests."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.processes import kill, ray_processes

# A busy machine is no fault of the code: time limits belong to whole tests (pytest-timeout), not to single examples.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Files run side by side, a core each: threads of torch would only wait for one another.
    os.environ["OMP_NUM_THREADS"] = "1"


def pytest_runtest_setup() -> None:
    """Each test draws the same numbers, whichever ran before it."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _ray_folder() -> Iterator[None]:
    """Where Ray keeps sockets and logs, unless a test says where; it and Ray's processes go with the tests."""
    folder = tempfile.mkdtemp(prefix="bp")  # short, as socket paths are limited
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_TMPDIR", folder)
        yield
    end = time.monotonic() + 30
    while (left := ray_processes(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"processes of Ray outlive the tests: {left}"


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """For the Ray of a process that a test starts; what is left of it is killed with the test."""
    folder = Path(tempfile.mkdtemp(prefix="bp"))
    yield folder
    for process in ray_processes(folder):
        kill(process)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """End point of an S3 server on this machine; one for all tests, as its start takes seconds."""
    server_module = pytest.importorskip("moto.server", reason="moto, which plays an S3 server, is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(object_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of a new bucket; its keys are in the environment."""
    from pyarrow import fs as pafs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    name = f"bucket-{abs(hash(str(tmp_path))):x}"
    s3 = pafs.S3FileSystem(endpoint_override=object_store, scheme="http", allow_bucket_creation=True)
    s3.create_dir(name)
    return f"s3://{name}?scheme=http&endpoint_override={object_store}&region=us-east-1"
