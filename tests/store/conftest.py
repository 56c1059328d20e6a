"""One store on each kind of file system: all of them pass the same suite."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs as pafs

from branchpoint.store import Store


@pytest.fixture(params=["local", "file_uri", "subtree", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store(str(tmp_path / "results"))
    if request.param == "file_uri":
        return Store(f"file://{tmp_path}/results")
    if request.param == "subtree":
        return Store("results", pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem()))
    if request.param == "memory":
        return Store("results", pafs._MockFileSystem(datetime.now(UTC)))
    end_point = request.getfixturevalue("object_store")
    where: dict[str, Any] = {"endpoint_override": end_point, "region": "us-east-1", "scheme": "http"}
    bucket = f"bucket-{abs(hash(str(tmp_path))):x}"
    s3 = pafs.S3FileSystem(access_key="key", secret_key="secret", allow_bucket_creation=True, **where)
    s3.create_dir(bucket)
    options = "&".join(f"{name}={value}" for name, value in where.items())
    return Store(f"s3://key:secret@{bucket}/results?{options}")


@pytest.fixture
def local_store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "results"))
